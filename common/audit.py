"""The audit log of each tenant, its table `audit_log`: what was tried on the tenant, by whom, and how it ended.

An act is recorded before it is done and again when it has ended; one without an outcome may or may not have happened. Every record also
goes to the structured log, which outlives the tenant. A call with a `request_id` claims that id in the statement that records its
attempt, under a job id that runs but once: of any number of calls one claims it, and the others find what it asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import structlog

from common.clock import Clock
from common.errors import ConvergenceError, Unavailable, WarehouseError
from common.rpc.status import status_code
from common.warehouse.effects import Effects
from common.warehouse.rows import read_rows
from common.warehouse.statements import Record, insert_statement
from common.warehouse.warehouse import Parameter, Row, Statement, TableRef, TableSpec, Warehouse

AUDIT_TABLE = "audit_log"
REQUEST_ID_LIFETIME = timedelta(hours=24)
"""How long a request id is remembered."""
_OUTCOME_SECONDS = 10.0
"""How long an answer waits for its outcome to be recorded."""

Phase = Literal["CLAIM", "ATTEMPT", "OUTCOME"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One call that acts: on what, and by whom. `request_digest` tells its `request_id`; None without one."""

    audit_id: str
    tenant_id: str
    method: str
    principal: str
    resource: str = ""
    request_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What is recorded of a request id: a digest of what it was claimed for, and whether an act under it came to its good end."""

    body_digest: str
    succeeded: bool


class Recording:
    """One act's records in the table. The act may begin once `attempt` or `attempt_claiming` has returned."""

    def __init__(
        self, entry: AuditEntry, *, warehouse: Warehouse, effects: Effects, spec: TableSpec, clock: Clock
    ) -> None:
        self.entry = entry
        self._warehouse = warehouse
        self._effects = effects
        self._spec = spec
        self._clock = clock
        self._begun = False

    def about(self, resource: str) -> None:
        """Name what is acted on, where that comes out only after the attempt: the outcome tells it."""
        self.entry = replace(self.entry, resource=resource)

    async def attempt(self) -> None:
        """Record that the act is about to begin. Raises Unavailable."""
        try:
            await self._insert_attempt()
        except WarehouseError as error:
            raise _not_recorded() from error

    async def attempt_claiming(self, *, body_digest: str) -> Claim | None:
        """Record it and claim its request id, for what `body_digest` is of. The claim that holds, of this call or of an earlier one; None
        where that was longer ago than it is remembered. Raises Unavailable."""
        try:
            return await self._claim(body_digest)
        except WarehouseError as error:
            raise _not_recorded() from error

    async def outcome(self, outcome: str, *, reason: str | None) -> None:
        """Record how it ended, where its beginning was recorded. Raises nothing: what cannot be written stays unknown in the table."""
        if not self._begun:
            return
        row = {**self._row("OUTCOME"), "outcome": outcome, "reason": reason}
        try:
            async with asyncio.timeout(_OUTCOME_SECONDS):
                await self._insert(f"audit_{self.entry.audit_id}_outcome", [row])
        except (WarehouseError, TimeoutError) as error:
            _log.error("an outcome is not recorded", audit_id=self.entry.audit_id, error=type(error).__name__)

    def leave_table(self) -> None:
        """From now on the structured log alone is told: the table is about to be deleted."""
        self._begun = False

    async def _claim(self, body_digest: str) -> Claim | None:
        attempt = {**self._row("ATTEMPT"), "body_digest": None}
        claim = {**self._row("CLAIM"), "body_digest": body_digest}
        await self._insert(f"claim_{self.entry.tenant_id}_{self.entry.request_digest}", [attempt, claim])
        recorded = await self._recorded()
        if any(row["audit_id"] == self.entry.audit_id for row in recorded):
            self._begun = True
        else:  # an earlier call's statement ran, and with it that call's attempt instead of this one's
            await self._insert_attempt()
        claims = [str(row["body_digest"]) for row in recorded if row["phase"] == "CLAIM"]
        return Claim(claims[0], succeeded=any(row["outcome"] == "OK" for row in recorded)) if claims else None

    async def _insert_attempt(self) -> None:
        await self._insert(f"audit_{self.entry.audit_id}_attempt", [self._row("ATTEMPT")])
        self._begun = True

    async def _insert(self, effect_id: str, rows: Sequence[Record]) -> None:
        await self._effects.run(effect_id, insert_statement(self._table, self._spec, rows))

    async def _recorded(self) -> Sequence[Row]:
        """What the table has of the entry's request id within its lifetime."""
        statement = Statement(
            f"SELECT audit_id, phase, body_digest, outcome FROM `{self._table}` "
            "WHERE create_time > @since AND request_digest = @request_digest",
            (
                Parameter("since", "TIMESTAMP", self._clock.now() - REQUEST_ID_LIFETIME),
                Parameter("request_digest", "STRING", self.entry.request_digest),
            ),
        )
        return await read_rows(self._warehouse, statement)

    @property
    def _table(self) -> TableRef:
        return TableRef(self.entry.tenant_id, AUDIT_TABLE)

    def _row(self, phase: Phase) -> Record:
        return {
            "audit_id": self.entry.audit_id,
            "tenant_id": self.entry.tenant_id,
            "create_time": self._clock.now(),
            "phase": phase,
            "method": self.entry.method,
            "principal": self.entry.principal,
            "resource": self.entry.resource or None,
            "request_digest": self.entry.request_digest,
            "correlation_id": structlog.contextvars.get_contextvars().get("correlation_id"),
        }


class AuditLog:
    """Records acts. One for the process."""

    def __init__(self, warehouse: Warehouse, effects: Effects, spec: TableSpec, clock: Clock) -> None:
        """`spec` is the schema of the table."""
        self._warehouse = warehouse
        self._effects = effects
        self._spec = spec
        self._clock = clock

    @asynccontextmanager
    async def recording(self, entry: AuditEntry) -> AsyncIterator[Recording]:
        """Record an act that the block does, and how the block ends: OK, or the status of what it raises.

        The structured log has both. The table has them from the moment on when the block records the attempt there, since it may have to
        make the table first. A block that is cancelled has no outcome: what it began may still happen.
        """
        recording = Recording(
            entry, warehouse=self._warehouse, effects=self._effects, spec=self._spec, clock=self._clock
        )
        self.log(entry, "ATTEMPT")
        try:
            yield recording
        except Exception as error:
            reason = error.reason if isinstance(error, ConvergenceError) else ConvergenceError.reason
            await self._end(recording, status_code(error).name, reason=reason)
            raise
        await self._end(recording, "OK", reason=None)

    def log(self, entry: AuditEntry, phase: Phase, *, outcome: str | None = None, reason: str | None = None) -> None:
        """Write a record to the structured log alone: for an act on a tenant without a table for it, yet or any more."""
        _log.info(
            "audit",
            phase=phase,
            audit_id=entry.audit_id,
            tenant_id=entry.tenant_id,
            method=entry.method,
            principal=entry.principal,
            resource=entry.resource,
            outcome=outcome,
            reason=reason,
        )

    async def _end(self, recording: Recording, outcome: str, *, reason: str | None) -> None:
        self.log(recording.entry, "OUTCOME", outcome=outcome, reason=reason)
        await recording.outcome(outcome, reason=reason)


def _not_recorded() -> Unavailable:
    return Unavailable("The audit log cannot be written; nothing is done that is not recorded there first")
