"""Both services over one warehouse, one KMS and one engine, with two tenants; what any call is refused with, and what it leaves behind."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from temporalio.client import Client

from common.tenants.tenant import MARK
from common.warehouse.warehouse import TableRef
from convergence.options.v1 import options_pb2
from convergence.pipeline.v1 import pipeline_service_pb2
from convergence.tenant.v1 import tenant_service_pb2
from tests.rpc.pipeline_stack import DAY, PipelineStack
from tests.rpc.statuses import Refusal, refused
from tests.rpc.tenant_stack import TenantStack

METHODS: Mapping[str, MethodDescriptor] = {
    method.name: method
    for file in (tenant_service_pb2, pipeline_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Every method of both services. What is tried on all of them is tried on the next one, too."""
ADMIN_METHODS = frozenset(
    name for name, method in METHODS.items() if method.GetOptions().Extensions[options_pb2.access].admin_only
)
TENANT_METHODS = METHODS.keys() - ADMIN_METHODS
NAMING_A_TENANT = frozenset(name for name, method in METHODS.items() if "tenant_id" in method.input_type.fields_by_name)
OF_ALL_TENANTS = frozenset(
    name
    for name in NAMING_A_TENANT & ADMIN_METHODS
    if field_behavior_pb2.OPTIONAL
    in METHODS[name].input_type.fields_by_name["tenant_id"].GetOptions().Extensions[field_behavior_pb2.field_behavior]
)
"""Methods that go over every tenant where none is named."""
NEVER = "00000000-0000-8000-8000-000000000000"
"""The id of a run that never was."""
NO_KEY = "key_0000000000000000"
"""The id of a key that never was."""
GOOD: Mapping[str, Mapping[str, Any]] = {
    "RunTemplate": {"provider": "gcp", "domain": "test", "template_name": "daily", "date": DAY},
    "BackfillTemplate": {
        "provider": "gcp",
        "domain": "test",
        "template_name": "daily",
        "start_date": DAY,
        "end_date": DAY,
    },
    "PlanTemplate": {"provider": "gcp", "domain": "test", "template_name": "daily", "date": DAY},
    "RunPipeline": {"pipeline_id": "acme-gcp-test-daily", "date": DAY},
    "GetRun": {"pipeline_logging_id": NEVER},
    "WatchRun": {"pipeline_logging_id": NEVER},
    "GetTemplate": {"provider": "gcp", "domain": "test", "template_name": "daily"},
    "RetryRun": {"pipeline_logging_id": NEVER},
    "CancelRun": {"pipeline_logging_id": NEVER},
    "ReadTable": {"table": "cost"},
    "CreateKey": {"scopes": ["runs:read"]},
    "RotateKey": {"key_id": NO_KEY},
    "RevokeKey": {"key_id": NO_KEY},
    "PutCredential": {"name": "nothing", "generic_token": "nothing"},
    "DeleteCredential": {"name": "nothing"},
}
"""Fields that each method needs besides the tenant's id, and DeleteTenant besides its confirmation."""


@dataclass(frozen=True)
class Tenant:
    """A tenant that is ready; `key` is the metadata of its key's holder."""

    tenant_id: str
    key: Any


@dataclass(frozen=True)
class Footprint:
    """What a call that is refused must leave as it was."""

    datasets: Mapping[str, str]
    workflows: int
    runs: Mapping[str, int]


@dataclass
class Services:
    """Both running services."""

    tenants: TenantStack
    pipelines: PipelineStack

    @property
    def admin(self) -> Any:
        """Metadata of an admin."""
        return self.tenants.as_admin

    def call(self, method: str, key: Any = (), **fields: Any) -> Any:
        """Call a method of either service with GOOD fields under these."""
        return self.call_for(20, method, key, fields)

    def call_for(self, seconds: float, method: str, key: Any, given: Mapping[str, Any]) -> Any:
        """The same, for so long at most."""
        fields = {**GOOD.get(method, {}), **given}
        if method == "DeleteTenant":
            fields.setdefault("confirmation", fields.get("tenant_id", ""))
        stub = self.tenants.stub if METHODS[method].containing_service.name == "TenantService" else self.pipelines.stub
        request = message_factory.GetMessageClass(METHODS[method].input_type)(**fields)
        return getattr(stub, method)(request, metadata=key, timeout=seconds)

    async def refusal(self, method: str, key: Any = (), **fields: Any) -> Refusal:
        """How a call is refused that must be."""
        return await refused(self.call(method, key, **fields))


@dataclass
class System(Services):
    """Both services, and two tenants that may know nothing of each other."""

    engine: Client
    task_queue: str
    acme: Tenant
    rival: Tenant
    rivals_run: str

    async def refusals(self, *calls: tuple[str, Any, Mapping[str, Any]]) -> list[Refusal]:
        """How each of these calls, made at the same time, is refused."""
        return list(await asyncio.gather(*(self.refusal(method, key, **fields) for method, key, fields in calls)))

    async def footprint(self) -> Footprint:
        """What there is now. The engine lists workflows a moment after their start: what is listed after a later one is all."""
        fence = f"fence/{uuid.uuid4()}"
        handle = await self.engine.start_workflow("fence", id=fence, task_queue="fence")
        while not (await self.engine.count_workflows(f"WorkflowId = '{fence}'")).count:  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.002)
        await handle.terminate()
        warehouse = self.pipelines.warehouse
        datasets = await warehouse.list_datasets(label=MARK)
        return Footprint(
            datasets={dataset.dataset_id: dataset.etag for dataset in datasets},
            workflows=(await self.engine.count_workflows(f"TaskQueue = '{self.task_queue}'")).count,
            runs={
                tenant.tenant_id: len(await warehouse.list_rows(TableRef(tenant.tenant_id, "pipeline_runs")))
                for tenant in (self.acme, self.rival)
            },
        )
