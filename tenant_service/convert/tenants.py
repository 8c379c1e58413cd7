"""Tenants between the wire and the use cases: protobuf in, protobuf out, nothing else."""

from common.paging import Page
from common.tenants.tenant import TenantRecord
from convergence.tenant.v1 import tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from tenant_service.get_tenant import TenantView
from tenant_service.onboard import TABLES_REPORTED, Onboarded


def onboarded_to_proto(onboarded: Onboarded) -> pb2.OnboardResponse:
    """The answer of Onboard, with the new key in clear."""
    return pb2.OnboardResponse(
        tenant_id=onboarded.tenant_id,
        api_key=onboarded.api_key.reveal(),
        dataset_created=True,
        tables_created=TABLES_REPORTED,
        dryrun_status=pb2.OnboardResponse.DryrunStatus.Value(onboarded.dry_run_status),
        message=f"Customer {onboarded.tenant_id} onboarded successfully",
    )


def tenant_to_proto(view: TenantView) -> tenant_pb2.Tenant:
    """The tenant resource."""
    tenant = _of_labels(view.tenant)
    tenant.location = view.tenant.dataset.location
    tenant.create_time.FromDatetime(view.tenant.dataset.create_time)
    tenant.sources.update({name: str(table) for name, table in view.sources.items()})
    return tenant


def tenants_to_proto(page: Page[TenantRecord]) -> pb2.ListTenantsResponse:
    """A page of tenants, with what a listing tells of them."""
    return pb2.ListTenantsResponse(tenants=map(_of_labels, page.items), next_page_token=page.next_page_token)


def _of_labels(tenant: TenantRecord) -> tenant_pb2.Tenant:
    return tenant_pb2.Tenant(
        tenant_id=tenant.tenant_id,
        state=tenant_pb2.Tenant.State.Value(tenant.state.upper()),
        schema_version=tenant.schema_version,
    )
