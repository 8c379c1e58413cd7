"""kill -9 of PipelineService at a named moment of a run, which then goes on in the process that is started after it or beside it."""

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest

from common.warehouse.warehouse import Destination, QueryJob, ReplaceJob, Row, Statement, TableRef
from tests.chaos.evidence import assert_done_once, published
from tests.chaos.fate import Fate, Moment
from tests.chaos.installation import TEMPLATE, Installation, Tenant, caller
from tests.chaos.replica import Replica
from tests.chaos.sizes import FULL, chance, rounds
from tests.rpc.pipeline_stack import DAY

NAMED: dict[str, tuple[Moment, str]] = {
    "before the first step": ("submitting", "_load_stage_"),
    "during a step": ("submitted", "_load_stage_"),
    "between stage and publish": ("submitting", "_load_publish_"),
    "between publish and record": ("ended", "_load_publish_"),
    "once a step is recorded": ("ended", "_load_log1_"),
}
MORE: dict[str, tuple[Moment, str]] = {
    "before anything is recorded": ("submitting", "_begin_"),
    "before the checks": ("ended", "_load_stage_"),
    "between the checks and their record": ("submitting", "_load_checks_"),
    "while it publishes": ("submitted", "_load_publish_"),
    "between two steps": ("submitting", "_verify_checks_"),
    "before its end is recorded": ("submitting", "_done_"),
    "once its end is recorded": ("ended", "_done_"),
}
UNPUBLISHED = {*NAMED, "before anything is recorded", "before the checks", "between the checks and their record"} - {
    "between publish and record",
    "once a step is recorded",
}
EARLIER = (
    f"SELECT DATE '{DAY}' AS day, 'earlier' AS service, NUMERIC '7' AS cost, 1 AS items, TRUE AS billed, 0.5 AS ratio"
)
ROUNDS = (rounds(30) + 1) // 2 if FULL else 2
"""On each warehouse."""
RANDOM_RUNS = 3
MOST_MOMENTS = 25 * RANDOM_RUNS
"""About as many moments as so many runs have."""
AT_ONCE = 4


async def publish_earlier(place: Installation, tenant: Tenant) -> list[Row]:
    """Publish another row of DAY, as an earlier run did: the whole table."""
    staged, target = (TableRef(tenant.tenant_id, name) for name in ("seed", "cost"))
    seed = QueryJob(f"{tenant.tenant_id}-seed", Statement(EARLIER), Destination(staged, "day", ("service",)))
    await place.warehouse.submit(seed)
    await place.warehouse.wait(seed.job_id, timeout_seconds=60)
    publication = ReplaceJob(f"{tenant.tenant_id}-earlier", staged, target, None)
    await place.warehouse.submit(publication)
    await place.warehouse.wait(publication.job_id, timeout_seconds=60)
    return await published(place.warehouse, tenant)


async def kill_and_go_on(place: Installation, name: str, moment: Moment, part: str, *, beside: bool) -> None:
    """Run the template, let the replica that comes to the moment die, and see the run end in another."""
    tenant = await place.onboard()
    earlier = await publish_earlier(place, tenant)
    one, two = place.pair()
    claim = place.folder / f"claim-{tenant.tenant_id}"
    fate = Fate(claim, moment, part)
    await asyncio.gather(one.start(fate), *([two.start(fate)] if beside else []))
    async with caller(tenant, one, *([two] if beside else [])) as patient:
        starting = asyncio.create_task(patient.run_template(tenant.tenant_id, TEMPLATE, DAY))
        if not beside:
            assert await one.ended() == -signal.SIGKILL, name
            if name in UNPUBLISHED:
                assert await published(place.warehouse, tenant) == earlier, name
            await one.start()
        run = await patient.end_of(await starting)
    await assert_done_once(place, tenant, run)
    assert claim.exists(), name


@pytest.mark.timeout(900 if FULL else 180)
@pytest.mark.parametrize("beside", [False, True], ids=["restarted", "beside another"])
async def test_a_run_whose_replica_is_killed_goes_on_and_does_nothing_twice(place: Installation, beside: bool) -> None:
    moments = {**NAMED, **MORE} if FULL else NAMED
    slots = asyncio.Semaphore(AT_ONCE)

    async def story(name: str, moment: Moment, part: str) -> None:
        async with slots:
            try:
                await kill_and_go_on(place, name, moment, part, beside=beside)
            except Exception as error:
                error.add_note(f"killed {name}")
                raise

    async with asyncio.TaskGroup() as group:
        for name, (moment, part) in moments.items():
            group.create_task(story(name, moment, part))


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_replicas_that_are_killed_at_random_lose_no_run_and_double_none(place: Installation, number: int) -> None:
    """Of two replicas one dies at a moment that chance names, in every second round both do, and are started again."""
    luck = chance("random kills", number)
    tenants = [await place.onboard() for _ in range(RANDOM_RUNS)]
    pair = place.pair()
    for replica in pair[: 1 + number % 2]:
        await replica.start(Fate(place.folder / f"claim-{replica.port}", count=luck.randint(1, MOST_MOMENTS)))
    if number % 2 == 0:
        await pair[1].start()
    watching = [asyncio.create_task(started_anew(replica)) for replica in pair]
    try:
        async with AsyncExitStack() as stack:
            patients = [await stack.enter_async_context(caller(tenant, *pair)) for tenant in tenants]
            run_ids = await asyncio.gather(
                *(
                    patient.run_template(tenant.tenant_id, TEMPLATE, DAY)
                    for patient, tenant in zip(patients, tenants, strict=True)
                )
            )
            ends = await asyncio.gather(
                *(patient.end_of(run_id) for patient, run_id in zip(patients, run_ids, strict=True))
            )
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    for tenant, run in zip(tenants, ends, strict=True):
        await assert_done_once(place, tenant, run)
        assert len(await place.warehouse.list_rows(TableRef(tenant.tenant_id, "pipeline_runs"))) == 1


async def started_anew(replica: Replica) -> None:
    """Start a replica again, and that for good, once it has died."""
    if await replica.ended(seconds=None) == -signal.SIGKILL:
        await replica.start()
