"""PipelineService as TenantService calls it: through its stub, with the tenant's key, always with a deadline."""

import grpc

from common.errors import Unavailable
from common.secret import Secret
from common.templates.template import TemplateName
from convergence.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from convergence.pipeline.v1 import pipeline_service_pb2_grpc, run_pb2
from tenant_service.dry_run import WAIT_SECONDS

_TRIGGER = "onboarding"
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class PipelineClient:
    """Runs templates over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = pipeline_service_pb2_grpc.PipelineServiceStub(channel)

    async def run_to_end(self, api_key: Secret, tenant_id: str, template: TemplateName, *, date: str) -> bool:
        """Run a template and watch it to its end: whether it completed. Raises Unavailable when the service is away."""
        request = pipeline_pb2.RunTemplateRequest(
            tenant_id=tenant_id,
            provider=template.provider,
            domain=template.domain,
            template_name=template.template_name,
            date=date,
            trigger_by=_TRIGGER,
        )
        metadata = (("x-api-key", api_key.reveal()),)
        try:
            started = await self._stub.RunTemplate(request, metadata=metadata, timeout=WAIT_SECONDS)
            watch = pipeline_pb2.WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id)
            status = started.status
            async for run in self._stub.WatchRun(watch, metadata=metadata, timeout=WAIT_SECONDS):
                status = run.status
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                raise Unavailable("PipelineService is away") from error
            return False
        return status == run_pb2.Run.COMPLETE
