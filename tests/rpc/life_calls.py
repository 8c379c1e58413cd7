"""What tests of the life of a tenant ask of both services: an admin's calls, and slow runs to be ended."""

from dataclasses import dataclass
from typing import Any

from common.tenants.tenant import STATE
from common.warehouse.warehouse import TableRef
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from convergence.tenant.v1 import tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenants_pb2
from tests.contract.work import SLOW
from tests.rpc.pipeline_stack import PipelineStack

BOUNDS: dict[str, Any] = {"auth_bound_seconds": 1.0}
PIPELINE_BOUNDS: dict[str, Any] = {**BOUNDS, "cancel_margin_seconds": 0.5}
"""As short as they can be: deleting a tenant takes that long."""
SLOW_TEMPLATE = f"""
description: Runs for minutes
parameters:
  note: {{type: string, default: none, description: Tells runs apart}}
steps:
  - id: load
    type: query
    sql: {SLOW}
    destination: {{table: slow, write: replace_table}}
"""


@dataclass
class LifeCalls:
    """An admin's calls."""

    stack: PipelineStack

    @property
    def admin(self) -> Any:
        """Metadata of the admin."""
        return self.stack.tenants.as_admin

    def suspend(self, tenant_id: str, **fields: Any) -> Any:
        """SuspendTenant."""
        request = tenants_pb2.SuspendTenantRequest(tenant_id=tenant_id, **fields)
        return self.stack.tenants.stub.SuspendTenant(request, metadata=self.admin, timeout=20)

    def resume(self, tenant_id: str, **fields: Any) -> Any:
        """ResumeTenant."""
        request = tenants_pb2.ResumeTenantRequest(tenant_id=tenant_id, **fields)
        return self.stack.tenants.stub.ResumeTenant(request, metadata=self.admin, timeout=20)

    def delete(self, tenant_id: str, **fields: Any) -> Any:
        """DeleteTenant, confirmed unless the fields say otherwise."""
        request = tenants_pb2.DeleteTenantRequest(tenant_id=tenant_id, **{"confirmation": tenant_id, **fields})
        return self.stack.tenants.stub.DeleteTenant(request, metadata=self.admin, timeout=60)

    def onboard(self, tenant_id: str, **fields: Any) -> Any:
        """Onboard."""
        request = tenants_pb2.OnboardRequest(tenant_id=tenant_id, **fields)
        return self.stack.tenants.stub.Onboard(request, metadata=self.admin, timeout=60)

    def get(self, tenant_id: str, key: Any = None) -> Any:
        """GetTenant."""
        request = tenants_pb2.GetTenantRequest(tenant_id=tenant_id)
        return self.stack.tenants.stub.GetTenant(request, metadata=key or self.admin, timeout=20)

    def cancel_runs(self, tenant_id: str) -> Any:
        """CancelRuns."""
        request = pb2.CancelRunsRequest(tenant_id=tenant_id)
        return self.stack.stub.CancelRuns(request, metadata=self.admin, timeout=60)

    async def state(self, tenant_id: str) -> str:
        """Where the tenant stands now."""
        return tenant_pb2.Tenant.State.Name((await self.get(tenant_id)).state)

    async def set_state(self, tenant_id: str, state: str) -> None:
        """As a crash leaves it."""
        warehouse = self.stack.warehouse
        await warehouse.set_labels(await warehouse.get_dataset(tenant_id), {STATE: state})

    async def tables(self, tenant_id: str) -> set[str]:
        """The names of the tables of the tenant's dataset."""
        return {ref.table for ref in await self.stack.warehouse.list_tables(tenant_id)}

    async def audit_rows(self, tenant_id: str) -> list[tuple[str, str, Any]]:
        """Method, phase and outcome of each record of the tenant's audit log, oldest first, without claims."""
        rows = await self.stack.warehouse.list_rows(TableRef(tenant_id, "audit_log"))
        rows = sorted(rows, key=lambda row: str(row["create_time"]))
        return [
            (str(row["method"]).rpartition("/")[2], str(row["phase"]), row["outcome"])
            for row in rows
            if row["phase"] != "CLAIM"
        ]

    async def run_of(self, tenant_id: str, pipeline_logging_id: str) -> run_pb2.Run:
        """A run as it stands."""
        request = pb2.GetRunRequest(tenant_id=tenant_id, pipeline_logging_id=pipeline_logging_id)
        run: run_pb2.Run = await self.stack.stub.GetRun(request, metadata=self.admin, timeout=20)
        return run

    async def start_slow(self, tenant_id: str, key: Any, note: str) -> str:
        """Start a run that lasts for minutes; its id, once its step runs."""
        started = await self.stack.start(tenant_id, key, "slow", date="", parameters={"note": note})
        watch = pb2.WatchRunRequest(tenant_id=tenant_id, pipeline_logging_id=started.pipeline_logging_id)
        async for run in self.stack.stub.WatchRun(watch, metadata=key, timeout=60):
            if run.status == run_pb2.Run.RUNNING:
                break
        return str(started.pipeline_logging_id)
