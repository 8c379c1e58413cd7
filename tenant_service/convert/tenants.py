"""Tenants between the wire and the use cases: protobuf in, protobuf out, nothing else."""

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
    tenant = tenant_pb2.Tenant(
        tenant_id=view.tenant.tenant_id,
        state=tenant_pb2.Tenant.State.Value(view.tenant.state.upper()),
        location=view.tenant.dataset.location,
        schema_version=view.tenant.schema_version,
        sources={name: str(table) for name, table in view.sources.items()},
    )
    tenant.create_time.FromDatetime(view.tenant.dataset.create_time)
    return tenant
