"""The demo says that all was seen only if it was: the main job against services that misbehave in one way each."""

import contextlib
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from rich.console import Console

from common.secret import Secret
from convergence.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from convergence.pipeline.v1 import pipeline_service_pb2_grpc, run_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2_grpc
from local_stack.demo_view import DemoView
from local_stack.main_job import TABLES_CREATED, TENANTS, do_main_job
from local_stack.parts import SERVICES
from local_stack.state import State
from local_stack.throw_away import RunningStack

ADMIN = "convergence_admin_" + "a" * 32


@dataclass
class Behaviour:
    """What the services do; the defaults are right."""

    dry_run: Any = tenant_pb2.OnboardResponse.SUCCESS
    step_status: Any = run_pb2.Step.COMPLETE
    run_status: Any = run_pb2.Run.COMPLETE
    check_passes: bool = True
    refuses_foreign_keys: bool = True
    reason: str = "TENANT_MISMATCH"
    cost: Callable[[str, int], str] = lambda tenant, reads: str(len(tenant)) + ".000000001"
    new_run_each_time: bool = True
    onboard_fails: bool = False
    calls: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> int:
        self.calls[what] = self.calls.get(what, 0) + 1
        return self.calls[what]


class Tenants(tenant_service_pb2_grpc.TenantServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def Onboard(self, request: Any, context: Any) -> Any:  # noqa: N802
        assert ("x-api-key", ADMIN) in context.invocation_metadata()
        if self._behaviour.onboard_fails:
            await context.abort(grpc.StatusCode.INTERNAL, "broken")
        return tenant_pb2.OnboardResponse(
            tenant_id=request.tenant_id,
            api_key=f"{request.tenant_id}_api_0123456789abcdeF",
            dataset_created=True,
            tables_created=sorted(TABLES_CREATED),
            dryrun_status=self._behaviour.dry_run,
            message=f"Customer {request.tenant_id} onboarded successfully",
        )


class Pipelines(pipeline_service_pb2_grpc.PipelineServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def _tenant(self, request: Any, context: Any) -> str:
        key = str(dict(context.invocation_metadata())["x-api-key"])
        tenant = key.rpartition("_api_")[0]
        if request.tenant_id not in ("", tenant) and self._behaviour.refuses_foreign_keys:
            details = any_pb2.Any()
            details.Pack(error_details_pb2.ErrorInfo(reason=self._behaviour.reason, domain="convergence"))
            status = status_pb2.Status(code=code_pb2.PERMISSION_DENIED, message="no", details=[details])
            await context.abort_with_status(rpc_status.to_status(status))
        return tenant

    async def RunTemplate(self, request: Any, context: Any) -> Any:  # noqa: N802
        tenant = await self._tenant(request, context)
        number = self._behaviour.count(f"run {tenant}") if self._behaviour.new_run_each_time else 1
        return pipeline_pb2.RunTemplateResponse(pipeline_logging_id=f"{tenant}/{number}")

    def _run(self, run_id: str) -> run_pb2.Run:
        check = run_pb2.CheckResult(name="unique", type="unique", passed=self._behaviour.check_passes)
        step = run_pb2.Step(step_id="daily_cost", status=self._behaviour.step_status, rows_written=3, checks=[check])
        return run_pb2.Run(
            pipeline_logging_id=run_id,
            tenant_id=run_id.partition("/")[0],
            status=self._behaviour.run_status,
            steps=[step],
        )

    async def GetRun(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._run(request.pipeline_logging_id)

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield self._run(request.pipeline_logging_id)

    async def ReadTable(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        tenant = await self._tenant(request, context)
        cost = self._behaviour.cost(tenant, self._behaviour.count(f"read {tenant}"))
        page = pipeline_pb2.ReadTableResponse()
        page.rows.add().update({"service_description": "BigQuery", "cost": cost, "credits": "0", "net_cost": cost})
        yield page


@contextlib.asynccontextmanager
async def services(behaviour: Behaviour) -> AsyncIterator[RunningStack]:
    server = grpc.aio.server()
    tenant_service_pb2_grpc.add_TenantServiceServicer_to_server(Tenants(behaviour), server)  # type: ignore[abstract]
    pipeline_service_pb2_grpc.add_PipelineServiceServicer_to_server(Pipelines(behaviour), server)  # type: ignore[abstract]
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield RunningStack(dict.fromkeys(SERVICES, address), Secret(ADMIN), State(Path("unused")))
    finally:
        await server.stop(None)


async def outcome(behaviour: Behaviour, *, terminal: bool = False) -> tuple[list[str], str]:
    printed = io.StringIO()
    view = DemoView(Console(file=printed, force_terminal=terminal, width=140, highlight=False))
    async with services(behaviour) as stack:
        return list(await do_main_job(stack, view)), printed.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
async def test_nothing_is_missing_where_all_goes_well_and_no_key_is_shown(terminal: bool) -> None:
    missing, printed = await outcome(Behaviour(), terminal=terminal)
    assert missing == []
    assert "0123456789abcdeF" not in printed
    assert ADMIN not in printed
    for text in (*TENANTS, "daily_cost", "unique", "BigQuery", "PERMISSION_DENIED TENANT_MISMATCH"):
        assert text in printed


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        (Behaviour(dry_run=tenant_pb2.OnboardResponse.NOT_RUN), "dry run NOT_RUN"),
        (Behaviour(onboard_fails=True), "a call was refused: INTERNAL"),
        (Behaviour(run_status=run_pb2.Run.FAILED), "the run is FAILED"),
        (Behaviour(step_status=run_pb2.Step.SKIPPED), "1 steps, 3 rows published"),
        (Behaviour(check_passes=False), "0 of 1 checks passed"),
        (Behaviour(cost=lambda tenant, reads: "1"), "their totals differ"),
        (Behaviour(cost=lambda tenant, reads: f"{len(tenant)}.{reads}"), "as before"),
        (Behaviour(new_run_each_time=False), "a second run"),
        (Behaviour(refuses_foreign_keys=False), "RunTemplate: OK"),
        (Behaviour(reason="SCOPE_MISSING"), "PERMISSION_DENIED SCOPE_MISSING"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
async def test_what_was_not_seen_is_named(behaviour: Behaviour, complaint: str) -> None:
    missing, printed = await outcome(behaviour)
    assert any(complaint in what for what in missing), missing
    assert "✗" in printed
