"""The two services as the demo calls them: through the generated stubs, always with a key and a deadline."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from common.channels import DIRECT
from common.secret import Secret
from convergence.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from convergence.pipeline.v1 import run_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub

DEADLINE_SECONDS = 40.0
CHANNEL_OPTIONS = (DIRECT,)


class ApiClient:
    """Calls with one key. Raises grpc.aio.AioRpcError for every status but OK."""

    def __init__(self, tenant_channel: grpc.aio.Channel, pipeline_channel: grpc.aio.Channel, key: Secret) -> None:
        self._tenants = TenantServiceStub(tenant_channel)
        self._pipelines = PipelineServiceStub(pipeline_channel)
        self._with: dict[str, Any] = {"metadata": (("x-api-key", key.reveal()),), "timeout": DEADLINE_SECONDS}

    async def onboard(self, tenant_id: str) -> tenant_pb2.OnboardResponse:
        """Create a tenant; needs the admin key."""
        return await self._tenants.Onboard(tenant_pb2.OnboardRequest(tenant_id=tenant_id), **self._with)

    async def run_template(self, tenant_id: str, path: str, date: str) -> str:
        """Start `provider/domain/name` for a day; gives the run's id."""
        provider, domain, name = path.split("/")
        request = pipeline_pb2.RunTemplateRequest(
            tenant_id=tenant_id, provider=provider, domain=domain, template_name=name, date=date, trigger_by="demo"
        )
        return (await self._pipelines.RunTemplate(request, **self._with)).pipeline_logging_id

    async def watch(self, run_id: str) -> AsyncIterator[run_pb2.Run]:
        """The run as it stands, then after every change, up to its end."""
        request = pipeline_pb2.WatchRunRequest(pipeline_logging_id=run_id)
        async for run in self._pipelines.WatchRun(request, **self._with):
            yield run

    async def get_run(self, run_id: str) -> run_pb2.Run:
        """The run as it stands."""
        return await self._pipelines.GetRun(pipeline_pb2.GetRunRequest(pipeline_logging_id=run_id), **self._with)

    async def read_table(self, tenant_id: str, table: str, day: str) -> Sequence[dict[str, Any]]:
        """All rows of one day."""
        request = pipeline_pb2.ReadTableRequest(tenant_id=tenant_id, table=table, start_date=day, end_date=day)
        return [
            MessageToDict(row) async for page in self._pipelines.ReadTable(request, **self._with) for row in page.rows
        ]


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """ErrorInfo.reason of a refusal; empty where it carries none."""
    status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()
    return next((info.reason for detail in status.details if detail.Unpack(info)), "") if status else ""
