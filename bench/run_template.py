"""RunTemplate beside a bare start of a workflow through the same Temporal server."""

import uuid
from collections.abc import Iterator
from datetime import date, timedelta

from bench.plans import DOMAIN, PROVIDER, TEMPLATE
from bench.report import Ratio
from bench.rounds import Rounds, in_turn
from bench.stack import Stack, Tenant
from convergence.pipeline.v1.pipeline_service_pb2 import RunTemplateRequest, WatchRunRequest

BOUND = 2.0
FIRST_DAY = date(2025, 9, 1)


async def measure(stack: Stack, tenant: Tenant, rounds: Rounds) -> tuple[Ratio, Ratio]:
    """Every call names another day and so starts a run; the next call waits until that run has ended, so that none is
    slowed down by another's. Nobody executes the bare workflow."""
    days = _days()
    started: list[str] = []

    async def run_template(request_id: str = "") -> None:
        request = RunTemplateRequest(
            tenant_id=tenant.tenant_id,
            provider=PROVIDER,
            domain=DOMAIN,
            template_name=TEMPLATE,
            date=next(days),
            request_id=request_id,
        )
        answer = await stack.pipelines.RunTemplate(request, **tenant.call)
        assert not answer.already_running
        started.append(answer.pipeline_logging_id)

    async def until_ended() -> None:
        while started:
            request = WatchRunRequest(pipeline_logging_id=started.pop())
            async for _ in stack.pipelines.WatchRun(request, **tenant.call):
                pass

    taken = await in_turn(
        {
            "bare": lambda: stack.temporal.start_workflow("Nothing", id=str(uuid.uuid4()), task_queue="bench-nobody"),
            "plain": run_template,
            "with request_id": lambda: run_template(str(uuid.uuid4())),
        },
        rounds=rounds.starts,
        settle=until_ended,
    )
    return (
        Ratio("RunTemplate / bare workflow start", taken["plain"], taken["bare"], BOUND),
        Ratio("RunTemplate with request_id / bare workflow start", taken["with request_id"], taken["bare"]),
    )


def _days() -> Iterator[str]:
    day = FIRST_DAY
    while True:
        yield day.isoformat()
        day += timedelta(days=1)
