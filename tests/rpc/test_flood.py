"""A flood of guesses over real connections: what it costs the warehouse, and that it shuts nobody out. On both warehouses."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from common.api_keys.key import mint
from common.warehouse.warehouse import Dataset, Row, TableRef, Warehouse
from tests.passing_on import PassingOn
from tests.rpc.key_calls import KeyCalls, new_tenant
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import as_key, tenant_stack

GUESSES, WAVES = 400, 4
"""gRPC cancels calls once more than 1,000 wait to be taken up: that flood would prove nothing of ours."""
CLOCK_SECONDS = 0.02
"""By how much two clocks may differ on what a second is."""


class CountedWarehouse(PassingOn):
    """A warehouse that notes when keys are read and tenants are listed."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse)
        self.key_reads: list[float] = []
        self.listings: list[float] = []

    async def list_rows(self, ref: TableRef) -> Sequence[Row]:
        if ref.table == "api_keys":
            self.key_reads.append(time.monotonic())
        return await self.warehouse.list_rows(ref)

    async def list_datasets(self, *, label: str) -> Sequence[Dataset]:
        self.listings.append(time.monotonic())
        return await self.warehouse.list_datasets(label=label)


async def flood(keys: KeyCalls) -> Counter[str]:
    """Waves of guesses, every other one at a tenant that is; how they end."""
    codes: Counter[str] = Counter()
    for _ in range(WAVES):
        names = (keys.tenant_id if number % 2 else f"unknown_{number}" for number in range(GUESSES))
        calls = (refused(keys.read(as_key(mint(name).reveal()))) for name in names)
        codes.update(refusal.code for refusal in await asyncio.gather(*calls))
    return codes


async def test_guesses_cost_one_read_a_second_of_one_tenant_and_one_listing_a_second_in_all(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    counted: Any = CountedWarehouse(warehouse)
    async with tenant_stack(tmp_path, counted) as stack:
        keys = await new_tenant(stack, warehouse)
        await keys.read(keys.own)
        del counted.key_reads[:-1], counted.listings[:]  # Onboard's own, the probes of a server that starts
        began = time.monotonic()
        flooding = asyncio.create_task(flood(keys))
        answered = 0
        while not flooding.done():
            await keys.read(keys.own)
            answered += 1
        seconds = time.monotonic() - began
        assert await flooding == {"UNAUTHENTICATED": GUESSES * WAVES}
    assert answered > 1, "the good key is let in all the while"
    assert all(late - early > 1 - CLOCK_SECONDS for early, late in pairwise(counted.key_reads))
    assert len(counted.listings) <= 2 + seconds, "one of them may be the health probe's"
