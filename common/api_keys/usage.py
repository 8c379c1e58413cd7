"""When keys were last used: noted in memory, written to `api_keys` now and then, and so known only roughly.

What a process has noted since its last flush is lost when it is killed, and what its memory does not hold is never noted.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import structlog

from common.api_keys.store import KEYS_TABLE
from common.clock import Clock
from common.errors import Terminal
from common.warehouse.effects import Effects
from common.warehouse.warehouse import Parameter, Statement

MAX_KEYS = 100_000
"""Keys that are noted between two flushes; they take some 30 MB."""
_TENANTS_AT_ONCE = 8
_LAST_FLUSH_SECONDS = 3.0
"""How long a server that ends waits for what it has noted to be written."""

_log = structlog.get_logger(__name__)

Times = Mapping[str, datetime]
"""When keys were used, by key id."""


class KeyUsage:
    """Notes when keys are used, and writes it down behind the calls. One for the process."""

    def __init__(self, effects: Effects, *, interval_seconds: float, clock: Clock) -> None:
        """`interval_seconds` lie between two flushes."""
        self._effects = effects
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._times: dict[tuple[str, str], datetime] = {}

    def note(self, tenant_id: str, key_id: str, time: datetime) -> None:
        """The key is used at `time`. Costs a call no more than this."""
        key = (tenant_id, key_id)
        if key in self._times or len(self._times) < MAX_KEYS:
            self._times[key] = time

    @asynccontextmanager
    async def flushing(self) -> AsyncIterator[None]:
        """Flush now and then, and once more at the end."""
        task = asyncio.create_task(self._flush_for_ever())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._flush(_LAST_FLUSH_SECONDS)

    async def _flush_for_ever(self) -> None:
        while True:
            await self._clock.sleep(self._interval_seconds)
            await self._flush(self._interval_seconds)

    async def _flush(self, seconds: float) -> None:
        """Write what has been noted, with one statement per tenant. What is not written in time is kept for the next flush."""
        by_tenant: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
        for (tenant_id, key_id), time in self._times.items():
            by_tenant[tenant_id][key_id] = time
        gate = asyncio.Semaphore(_TENANTS_AT_ONCE)
        writing = [self._write(tenant_id, times, gate) for tenant_id, times in by_tenant.items()]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                results = await asyncio.gather(*writing, return_exceptions=True)
                if errors := [result for result in results if isinstance(result, Exception)]:
                    _log.warning("the last use of keys is not written", tenants=len(errors), exc_info=errors[0])

    async def _write(self, tenant_id: str, times: Times, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                await self._effects.run(
                    f"{tenant_id}_last_used_{uuid.uuid4().hex}", last_used_statement(tenant_id, times)
                )
            except Terminal as error:  # would fail again: the tenant may have been deleted
                _log.warning("the last use of keys cannot be written", tenant_id=tenant_id, exc_info=error)
        for key_id, time in times.items():
            if self._times.get((tenant_id, key_id)) == time:
                del self._times[tenant_id, key_id]


def last_used_statement(tenant_id: str, times: Times) -> Statement:
    """The statement that writes when keys were used. It never moves a time backwards, since every replica writes what it saw."""
    sql = f"""
MERGE INTO `{tenant_id}.{KEYS_TABLE}` AS api_key
USING (
  SELECT key_id, time
  FROM UNNEST(@key_ids) AS key_id WITH OFFSET AS key_number
  JOIN UNNEST(@times) AS time WITH OFFSET AS time_number ON key_number = time_number
) AS used ON api_key.key_id = used.key_id
WHEN MATCHED THEN UPDATE SET last_used_time = GREATEST(IFNULL(api_key.last_used_time, used.time), used.time)
"""
    parameters = (
        Parameter("key_ids", "STRING", tuple(times), array=True),
        Parameter("times", "TIMESTAMP", tuple(times.values()), array=True),
    )
    return Statement(sql, parameters)
