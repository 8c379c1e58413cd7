"""How TenantService acts on a tenant: for one request_id once, and recorded in the tenant's audit log before and after."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from common.audit import AuditEntry, AuditLog, Recording
from common.digest import short_digest
from common.errors import RequestIdReused
from common.rpc.caller import Caller
from common.tenants.tenant import TenantRecord
from common.warehouse.warehouse import Warehouse
from tenant_service.get_tenant import require_tenant
from tenant_service.schema import Schema

T = TypeVar("T")
_SERVICE = "/convergence.tenant.v1.TenantService"


@dataclass(frozen=True, slots=True)
class Act:
    """What a call asks to have done: by which method, to which tenant, on which resource of it.

    `fields` are the request's other fields as they came, as JSON, secrets included; only a digest of them is kept.
    """

    method: str
    tenant_id: str
    resource: str = ""
    request_id: str = ""
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Turn:
    """A call's turn to act. `act_id`, 32 hex digits, is the same for every call under one request_id: effects that run under ids made
    from it, and rows that are named after it, come to be once. `repeated` says that the act has come to its good end before. `about` is to
    be told what is acted on, for the audit log, where that comes out only now."""

    tenant: TenantRecord
    act_id: str
    repeated: bool
    about: Callable[[str], None] = field(repr=False, compare=False)


class Acts:
    """Does acts. One for the process."""

    def __init__(self, warehouse: Warehouse, audit: AuditLog, schema: Schema) -> None:
        self._warehouse = warehouse
        self._audit = audit
        self._schema = schema

    async def do(self, caller: Caller, act: Act, done: Callable[[Turn], Awaitable[T]]) -> T:
        """Have it `done` for a caller who may have it done, once the attempt is recorded; then record how it ended.

        The tables of a tenant of an earlier version are brought up first, so that it can be recorded. Raises TenantNotFound,
        TenantNotReady, TenantSchemaConflict, RequestIdReused, Unavailable (it could not be recorded: nothing happened) and what `done`
        raises. `done` is called again for a repeated request: it finds what it did before, and answers from it.
        """
        tenant = await require_tenant(self._warehouse, act.tenant_id)
        entry = entry_of(caller, act)
        async with self._audit.recording(entry) as recording:
            await self._schema.bring_up(tenant)
            repeated = await begin(recording, act)
            return await done(Turn(tenant, entry.request_digest or entry.audit_id, repeated, recording.about))


def entry_of(caller: Caller, act: Act) -> AuditEntry:
    """What the audit log says of a call."""
    return AuditEntry(
        audit_id=uuid.uuid4().hex,
        tenant_id=act.tenant_id,
        method=f"{_SERVICE}/{act.method}",
        principal=caller.principal,
        resource=act.resource,
        request_digest=short_digest([act.tenant_id, act.request_id.lower()]) if act.request_id else None,
    )


async def begin(recording: Recording, act: Act) -> bool:
    """Record the attempt; whether the act has succeeded before. Raises RequestIdReused, Unavailable."""
    if not act.request_id:
        await recording.attempt()
        return False
    # The request_id, which nobody else knows and nothing keeps, makes the digest useless for guessing a secret field.
    body_digest = short_digest([act.request_id.lower(), act.method, act.resource, act.fields])
    claim = await recording.attempt_claiming(body_digest=body_digest)
    if claim is None or claim.body_digest != body_digest:
        raise RequestIdReused
    return claim.succeeded
