"""The audit log of each tenant, its table `audit_log`: what was tried on the tenant, by whom, and how it ended.

An act is recorded before it is done and again when it has ended; one without an outcome may or may not have happened. Every record also
goes to the structured log, which outlives the tenant. A call with a `request_id` claims that id in the statement that records its
attempt, under a job id that runs but once: of any number of calls one claims it, and the others find what it asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import structlog

from common.clock import Clock
from common.errors import WarehouseError
from common.warehouse.effects import Effects
from common.warehouse.statements import Record, insert_statement
from common.warehouse.warehouse import Parameter, Row, Statement, TableRef, TableSpec, Warehouse

AUDIT_TABLE = "audit_log"
CLAIM_LIFETIME = timedelta(hours=24)
"""How long a request id is remembered."""

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


class AuditLog:
    """Writes the records, and reads claims. Every method raises Transient and Terminal as the warehouse does, unless it says otherwise."""

    def __init__(self, warehouse: Warehouse, effects: Effects, spec: TableSpec, clock: Clock) -> None:
        """`spec` is the schema of the table."""
        self._warehouse = warehouse
        self._effects = effects
        self._spec = spec
        self._clock = clock

    async def attempt(self, entry: AuditEntry) -> None:
        """Record that a call is about to act."""
        self.log(entry, "ATTEMPT")
        await self._insert(entry, f"audit_{entry.audit_id}_attempt", [self._row(entry, "ATTEMPT")])

    async def attempt_claiming(self, entry: AuditEntry, *, body_digest: str) -> Claim | None:
        """Record it and claim its request id, for what `body_digest` is of. The claim that holds, of this call or of an earlier one; None
        where that was longer ago than it is remembered."""
        self.log(entry, "ATTEMPT")
        attempt = {**self._row(entry, "ATTEMPT"), "body_digest": None}
        claim = {**self._row(entry, "CLAIM"), "body_digest": body_digest}
        await self._insert(entry, f"claim_{entry.tenant_id}_{entry.request_digest}", [attempt, claim])
        recorded = await self._recorded(entry)
        claims = [str(row["body_digest"]) for row in recorded if row["phase"] == "CLAIM"]
        if not claims:
            return None
        if all(row["audit_id"] != entry.audit_id for row in recorded):  # an earlier call's claim holds
            await self._insert(entry, f"audit_{entry.audit_id}_attempt", [attempt])
        return Claim(claims[0], succeeded=any(row["outcome"] == "OK" for row in recorded))

    async def outcome(self, entry: AuditEntry, outcome: str, *, reason: str | None = None) -> None:
        """Record how it ended: OK or the name of a gRPC status. Raises nothing: what cannot be written stays unknown in the table, and
        the log has it."""
        self.log(entry, "OUTCOME", outcome=outcome, reason=reason)
        row = {**self._row(entry, "OUTCOME"), "outcome": outcome, "reason": reason}
        try:
            await self._insert(entry, f"audit_{entry.audit_id}_outcome", [row])
        except WarehouseError as error:
            _log.error("an outcome is not recorded", audit_id=entry.audit_id, error=type(error).__name__)

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

    def _row(self, entry: AuditEntry, phase: Phase) -> Record:
        return {
            "audit_id": entry.audit_id,
            "tenant_id": entry.tenant_id,
            "create_time": self._clock.now(),
            "phase": phase,
            "method": entry.method,
            "principal": entry.principal,
            "resource": entry.resource or None,
            "request_digest": entry.request_digest,
            "correlation_id": structlog.contextvars.get_contextvars().get("correlation_id"),
        }

    async def _insert(self, entry: AuditEntry, effect_id: str, rows: Sequence[Record]) -> None:
        await self._effects.run(effect_id, insert_statement(TableRef(entry.tenant_id, AUDIT_TABLE), self._spec, rows))

    async def _recorded(self, entry: AuditEntry) -> Sequence[Row]:
        """What the table has of the entry's request id within its lifetime."""
        statement = Statement(
            f"SELECT audit_id, phase, body_digest, outcome FROM `{TableRef(entry.tenant_id, AUDIT_TABLE)}` "
            "WHERE create_time > @since AND request_digest = @request_digest",
            (
                Parameter("since", "TIMESTAMP", self._clock.now() - CLAIM_LIFETIME),
                Parameter("request_digest", "STRING", entry.request_digest),
            ),
        )
        stream = await self._warehouse.read(statement)
        try:
            return [row async for page in stream for row in page]
        finally:
            await stream.close()
