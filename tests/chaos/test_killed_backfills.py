"""kill -9 of PipelineService in the middle of a backfill, which goes on in the process beside it: no day is lost, none is done twice."""

import asyncio
import signal

import pytest

from common.warehouse.warehouse import TableRef
from convergence.pipeline.v1 import run_pb2
from tests.chaos.evidence import assert_done_once
from tests.chaos.fate import Fate, Moment
from tests.chaos.installation import TEMPLATE, Installation, caller
from tests.chaos.sizes import FULL
from tests.rpc.pipeline_stack import DAY

LAST = "2025-11-16"
NAMED: dict[str, tuple[Moment, str]] = {
    "as a day starts": ("submitting", "_load_stage_"),
    "between publish and record of a day": ("ended", "_load_publish_"),
    "as a day ends": ("ended", "_done_"),
}
MOMENTS = NAMED if FULL else {"as a day ends": NAMED["as a day ends"]}


@pytest.mark.parametrize("name", MOMENTS)
async def test_a_backfill_whose_replica_is_killed_goes_on_and_runs_no_day_twice(place: Installation, name: str) -> None:
    tenant = await place.onboard()
    one, two = place.pair()
    claim = place.folder / f"claim-{tenant.tenant_id}"
    await asyncio.gather(*(replica.start(Fate(claim, *MOMENTS[name])) for replica in (one, two)))
    async with caller(tenant, one, two) as patient:
        backfill_id = await patient.backfill(tenant.tenant_id, TEMPLATE, DAY, LAST)
        ended = await patient.end_of(backfill_id)
        assert claim.exists(), name
        assert ended.status == run_pb2.Run.COMPLETE, ended
        for day in ended.backfill.days:
            assert not day.joined
            await assert_done_once(place, tenant, await patient.get_run(day.pipeline_logging_id))
    assert len(await place.warehouse.list_rows(TableRef(tenant.tenant_id, "pipeline_runs"))) == 3
    assert [replica.status() for replica in (one, two)].count(-signal.SIGKILL) == 1
