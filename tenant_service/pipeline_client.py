"""PipelineService as TenantService calls it: through its stub, with the key of the tenant or admin it acts for, always with a deadline."""

from collections.abc import Callable
from typing import Any

import grpc

from common.errors import DependencyRefused, Unavailable
from common.rpc.log_interceptor import correlation_metadata
from common.secret import Secret
from common.telemetry.telemetry import inject_trace
from common.templates.template import TemplateName
from convergence.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from convergence.pipeline.v1 import pipeline_service_pb2_grpc, run_pb2
from tenant_service.dry_run import WAIT_SECONDS

_TRIGGER = "onboarding"
ENDING_SECONDS = 300.0
"""How long runs may take to end, beyond the bound within which others may start, before the call is to be repeated."""
_REFUSED = frozenset(
    {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED}
)
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class PipelineClient:
    """Runs templates and ends runs."""

    def __init__(self, channel: Callable[[], grpc.aio.Channel], *, bound_seconds: float) -> None:
        """`channel` gives the channel for the next calls; `bound_seconds` is the bound within which every replica of PipelineService knows
        that a tenant is to run no more."""
        self._channel = channel
        self._cancel_seconds = bound_seconds + ENDING_SECONDS

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
        metadata = _metadata(api_key)
        stub = self._stub()
        try:
            started = await stub.RunTemplate(request, metadata=metadata, timeout=WAIT_SECONDS)
            watch = pipeline_pb2.WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id)
            status: int = started.status
            async for run in stub.WatchRun(watch, metadata=metadata, timeout=WAIT_SECONDS):
                status = run.status
        except grpc.aio.AioRpcError as error:
            if error.code() in _AWAY:
                raise Unavailable("PipelineService is away") from error
            return False
        return status == run_pb2.Run.COMPLETE

    async def cancel_runs(self, admin_key: Secret, tenant_id: str) -> None:
        """End every run of a tenant that is to run no more. Raises Unavailable, DependencyRefused; calling again goes on with it."""
        request = pipeline_pb2.CancelRunsRequest(tenant_id=tenant_id)
        metadata = _metadata(admin_key)
        try:
            await self._stub().CancelRuns(request, metadata=metadata, timeout=self._cancel_seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() in _REFUSED:
                raise DependencyRefused("PipelineService does not let this admin key cancel runs") from error
            raise Unavailable(
                "PipelineService is away, or could not end all runs; the call goes on where repeated"
            ) from error

    def _stub(self) -> Any:  # the generated type of asynchronous stubs exists for type checkers only
        return pipeline_service_pb2_grpc.PipelineServiceStub(self._channel())


def _metadata(key: Secret) -> tuple[tuple[str, str], ...]:
    """The key, and what ties the call to the one that is being handled."""
    return (("x-api-key", key.reveal()), *correlation_metadata(), *inject_trace().items())
