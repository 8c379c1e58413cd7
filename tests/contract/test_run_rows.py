"""A run's row says how the run ended, whichever statement comes last, on every warehouse."""

from datetime import UTC, datetime, timedelta

import pytest

from common.warehouse.warehouse import TableRef, Warehouse
from pipeline_service.record_rows import run_in
from pipeline_service.records import RUNS
from pipeline_service.run import Run, RunHeader, RunState, RunStatus
from tests.contract.checked_steps import CheckedStep
from tests.contract.work import new_id

BEGUN = datetime(2025, 11, 15, 12, 30, tzinfo=UTC)
ENDED = BEGUN + timedelta(minutes=1)


@pytest.fixture
async def tenant(warehouse: Warehouse, dataset: str) -> CheckedStep:
    """A tenant without any run."""
    tenant = CheckedStep(warehouse, dataset)
    await tenant.prepare()
    return tenant


def run_of(tenant: CheckedStep, status: RunStatus, end_time: datetime | None, run_id: str) -> Run:
    """One that begins at BEGUN."""
    header = RunHeader(tenant.tenant_id, f"{tenant.tenant_id}-gcp-cost-bill", "0" * 64, "", "", {})
    return Run(run_id, BEGUN, header, RunState((), status=status, start_time=BEGUN, end_time=end_time))


async def rows(tenant: CheckedStep) -> list[tuple[RunStatus, datetime | None]]:
    """What the tenant's rows say."""
    found = [run_in(row) for row in await tenant.warehouse.list_rows(TableRef(tenant.tenant_id, RUNS))]
    return [(run.state.status, run.state.end_time) for run in found]


async def test_an_end_that_comes_with_the_last_step_gives_way_to_one_that_is_recorded(tenant: CheckedStep) -> None:
    run_id = new_id()
    await tenant.records.begin_run(run_of(tenant, RunStatus.RUNNING, None, run_id), attempt=1)
    await tenant.records.end_run(run_of(tenant, RunStatus.CANCELLED, ENDED, run_id), attempt=1)
    await tenant.records.end_run_with_step(run_of(tenant, RunStatus.COMPLETE, BEGUN, run_id))
    assert await rows(tenant) == [(RunStatus.CANCELLED, ENDED)]


@pytest.mark.parametrize("has_begun", [True, False], ids=["begun", "not recorded to have begun"])
async def test_an_end_that_comes_with_the_last_step_is_recorded_and_gives_way_to_a_later_word(
    tenant: CheckedStep, has_begun: bool
) -> None:
    run_id = new_id()
    if has_begun:
        await tenant.records.begin_run(run_of(tenant, RunStatus.RUNNING, None, run_id), attempt=1)
    await tenant.records.end_run_with_step(run_of(tenant, RunStatus.COMPLETE, BEGUN, run_id))
    assert await rows(tenant) == [(RunStatus.COMPLETE, BEGUN)]
    await tenant.records.end_run(run_of(tenant, RunStatus.CANCELLED, ENDED, run_id), attempt=1)
    assert await rows(tenant) == [(RunStatus.CANCELLED, ENDED)]
