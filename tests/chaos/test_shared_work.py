"""Two replicas share the runs of many tenants: all finish, no limit is broken at any moment, and nobody starves anybody.

A tenant's fair share: while it waits for its first result, the others get on average no more than twice what each may have active at once.
One round of theirs may be queued before the tenant asks, and another one while it is let in. None gets more than a third round: its steps
that execute beside the tenant's own may end before that one does. Without gates the others could get all of their results first. Steps are
of equal length, so that results measure time.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import pytest

from common.warehouse.warehouse import Row, TableRef
from convergence.pipeline.v1 import run_pb2
from tests.chaos.fate import Fate
from tests.chaos.installation import Installation, Tenant, caller
from tests.chaos.replica import Replica
from tests.chaos.sizes import FULL

TENANTS, RUNS_EACH, LIMIT = (20, 10, 2) if FULL else (5, 5, 1)
STEPS_AT_ONCE = 4
"""Of each replica: far fewer than the tenants may have active together."""
STEP_SECONDS = 0.2
CALLS_AT_ONCE = 16
TEMPLATE = "gcp/test/one"
PATIENCE_SECONDS = 1200 if FULL else 120


@pytest.mark.timeout(2 * PATIENCE_SECONDS)
@pytest.mark.parametrize("place", ["local"], indirect=True)
async def test_two_replicas_share_the_runs_of_many_tenants_fairly_and_within_every_limit(place: Installation) -> None:
    tenants = [await place.onboard(export=False) for _ in range(TENANTS)]
    pair = place.pair(max_active_runs_per_tenant=LIMIT, max_concurrent_steps=STEPS_AT_ONCE)
    for replica in pair:
        await replica.start(Fate(slow_seconds=STEP_SECONDS))
    slots = asyncio.Semaphore(CALLS_AT_ONCE)
    # All of one tenant before any of the next: the first ones could take everything.
    ends = await asyncio.gather(*(all_runs(tenant, slots, *pair) for tenant in tenants))
    assert {run.status for runs in ends for run in runs} == {run_pb2.Run.COMPLETE}
    assert len({run.pipeline_logging_id for runs in ends for run in runs}) == TENANTS * RUNS_EACH

    active = [await place.warehouse.list_rows(TableRef(tenant.tenant_id, "pipeline_runs")) for tenant in tenants]
    for rows in active:
        assert len(rows) == RUNS_EACH
        assert most_at_once(rows) <= LIMIT
    results = [await place.warehouse.list_rows(TableRef(tenant.tenant_id, "step_logs")) for tenant in tenants]
    for number, rows in enumerate(results):
        assert Counter((row["pipeline_logging_id"], row["status"]) for row in rows).most_common(1)[0][1] == 1
        accepted = min(time(row, "create_time") for row in active[number])
        first = min(time(row, "end_time") for row in rows)
        others = results[:number] + results[number + 1 :]
        meanwhile = [sum(accepted < time(row, "end_time") <= first for row in other) for other in others]
        assert max(meanwhile) <= 3 * LIMIT, f"before the first result of tenant {number} the others had {meanwhile}"
        assert sum(meanwhile) <= 2 * LIMIT * len(others), f"before that of tenant {number} the others had {meanwhile}"


async def all_runs(tenant: Tenant, slots: asyncio.Semaphore, *replicas: Replica) -> list[run_pb2.Run]:
    """Start all runs of a tenant at once, and see them end."""
    async with caller(tenant, *replicas, patience_seconds=PATIENCE_SECONDS) as patient:

        async def start(number: int) -> str:
            async with slots:
                return await patient.run_template(tenant.tenant_id, TEMPLATE, "", note=str(number))

        run_ids = await asyncio.gather(*map(start, range(RUNS_EACH)))
        return await asyncio.gather(*map(patient.end_of, run_ids))


def most_at_once(rows: Sequence[Row]) -> int:
    """How many of the runs were active at the same moment, by their recorded starts and ends, at most."""
    changes = sorted([(time(row, "start_time"), 1) for row in rows] + [(time(row, "end_time"), -1) for row in rows])
    count = most = 0
    for _, change in changes:
        count += change
        most = max(most, count)
    return most


def time(row: Row, column: str) -> datetime:
    """A recorded moment."""
    return cast("datetime", row[column])
