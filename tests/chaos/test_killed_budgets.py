"""kill -9 of a replica in the middle of a step that has reserved bytes: no byte of use is lost, and what both attempts see counts once."""

import asyncio

import pytest

from pipeline_service.budget_messages import DayUse
from pipeline_service.temporal_connection import connect
from pipeline_service.temporal_gates import TemporalGates
from tests.chaos.evidence import assert_done_once
from tests.chaos.fate import Fate, Moment
from tests.chaos.installation import TEMPLATE, Installation, caller
from tests.chaos.sizes import FULL
from tests.rpc.pipeline_stack import DAY

GIB = 2**30
DAY_BYTES = 10 * GIB
QUERY: dict[str, tuple[Moment, str]] = {"during its query": ("submitted", "_load_stage_")}
"""The query is found again by its id."""
CHECKS: dict[str, tuple[Moment, str]] = {
    "between the checks and their record": ("submitting", "_load_checks_"),
    "while it publishes": ("submitted", "_load_publish_"),
}
"""What the checks have billed by then nobody can tell: it counts with all that was reserved for them."""


async def use_of(place: Installation, tenant_id: str) -> DayUse:
    """What the tenant's gate shows, or has shown."""
    client = await connect(place.settings["temporal_address"], namespace="default")
    use = (await TemporalGates(client, task_queue="unused").last(tenant_id)).day
    assert use is not None
    return use


@pytest.mark.parametrize("name", [*QUERY, *list(CHECKS)[: None if FULL else 1]])
async def test_a_killed_replica_loses_no_byte_and_counts_none_twice_that_is_seen_again(
    place: Installation, name: str
) -> None:
    moment, part = (QUERY | CHECKS)[name]
    tenant = await place.onboard()
    one, two = place.pair(max_bytes_per_tenant_per_day=DAY_BYTES)
    claim = place.folder / f"claim-{tenant.tenant_id}"
    fate = Fate(claim, moment, part)
    await asyncio.gather(one.start(fate), two.start(fate))  # whichever comes to the moment dies
    async with caller(tenant, one, two) as patient:
        run = await patient.end_of(await patient.run_template(tenant.tenant_id, TEMPLATE, DAY))
    assert claim.exists()
    await assert_done_once(place, tenant, run)
    use = await use_of(place, tenant.tenant_id)
    assert use.reserved == 0
    if place.stub is not None:
        jobs = place.stub.billed(run.pipeline_logging_id)
        # What counting the staged rows bills here, BigQuery reads from metadata.
        billed = sum(size for job_id, size in jobs.items() if "-rows-" not in job_id)
        assert use.billed == billed if name in QUERY else billed <= use.billed < 2 * billed
