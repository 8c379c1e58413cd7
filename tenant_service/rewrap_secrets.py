"""Encrypts every stored secret anew that lies under an older version of the KMS key, so that the version can be retired."""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile

from common.audit import AuditLog
from common.errors import ConvergenceError, DependencyRefused, Unavailable
from common.rpc.caller import Caller
from common.tenants.tenant import State, TenantRecord
from common.warehouse.warehouse import Warehouse
from tenant_service.acts import Act, entry_of
from tenant_service.all_tenants import as_done, failure_reason, named_or_all
from tenant_service.encrypt_anew import EncryptAnew
from tenant_service.schema import Schema
from tenant_service.stored_secrets import StoredSecret, StoredSecrets, batches

_STATES: frozenset[State] = frozenset({"creating", "ready", "suspended"})
"""A half-made tenant has a key too, which whoever completes its onboarding decrypts. One that is being deleted loses its secrets."""


@dataclass(slots=True)
class Rewrapping:
    """What was done to one tenant's secrets. `remaining` are those that are not under the current version; `error` names an ErrorReason,
    "" where the tenant was done to its end."""

    tenant_id: str
    rewrapped: int = 0
    remaining: int = 0
    error: str = ""
    by_key_version: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class RewrapProgress:
    """One tenant's rewrapping, the tenants done with it, all that there are, and the secrets of those done by key version."""

    rewrapping: Rewrapping
    done_tenants: int
    tenants: int
    by_key_version: Mapping[str, int]


@dataclass(slots=True)
class _Call:
    """One call: by whom, to which key version, and how the KMS failed it."""

    caller: Caller
    key_version: str
    kms_failure: ConvergenceError | None = None


class RewrapSecrets:
    """The use case; one for the process."""

    def __init__(
        self,
        *,
        warehouse: Warehouse,
        secrets: StoredSecrets,
        encrypt_anew: EncryptAnew,
        schema: Schema,
        audit: AuditLog,
    ) -> None:
        self._warehouse = warehouse
        self._secrets = secrets
        self._encrypt_anew = encrypt_anew
        self._schema = schema
        self._audit = audit

    async def __call__(self, caller: Caller, *, tenant_id: str) -> AsyncGenerator[RewrapProgress, None]:
        """Rewrap the tenant's secrets or, for "", all tenants', and tell of each tenant as it is done.

        A tenant that fails stops no other. Where the KMS fails, those under way are told of, no other begins, and its error is raised.
        Raises InvalidInput, TenantNotFound, Transient; Unavailable and DependencyRefused as the KMS does.
        """
        tenants = await named_or_all(self._warehouse, tenant_id, states=_STATES)
        call = _Call(caller, await self._encrypt_anew.key_version())
        by_key_version: Counter[str] = Counter()
        done = 0
        turns = takewhile(lambda _: call.kms_failure is None, tenants)
        async with aclosing(as_done(turns, partial(self._rewrap, call))) as rewrappings:
            async for rewrapping in rewrappings:
                done += 1
                by_key_version.update(rewrapping.by_key_version)
                yield RewrapProgress(rewrapping, done, len(tenants), dict(by_key_version))
        if call.kms_failure is not None:
            raise call.kms_failure

    async def _rewrap(self, call: _Call, tenant: TenantRecord) -> Rewrapping:
        doing = Rewrapping(tenant.tenant_id)
        try:
            older = await self._count(call, doing)
            if older:
                await self._recorded(call, tenant, older, doing)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other tenants go on
            doing.error = failure_reason(error, tenant_id=tenant.tenant_id)
        if doing.remaining or doing.error:
            await self._count_again(call, doing)
        return doing

    async def _count(self, call: _Call, doing: Rewrapping) -> Sequence[StoredSecret]:
        """Count the tenant's secrets as they are stored now; those that are not under the current version."""
        stored = await self._secrets.of(doing.tenant_id)
        older = [secret for secret in stored if secret.key_version != call.key_version]
        doing.by_key_version = Counter(secret.key_version for secret in stored)
        doing.remaining = len(older)
        return older

    async def _count_again(self, call: _Call, doing: Rewrapping) -> None:
        """What is told is what lies in the tables, whoever wrote it."""
        try:
            await self._count(call, doing)
        except Exception as error:  # noqa: BLE001 - as above
            doing.error = doing.error or failure_reason(error, tenant_id=doing.tenant_id)

    async def _recorded(
        self, call: _Call, tenant: TenantRecord, older: Sequence[StoredSecret], doing: Rewrapping
    ) -> None:
        entry = entry_of(call.caller, Act("RewrapSecrets", tenant.tenant_id))
        async with self._audit.recording(entry) as recording:
            if tenant.authenticates:  # a half-made one may lack the table to record it in: the log has it
                await self._schema.bring_up(tenant)
                await recording.attempt()
            for batch in batches(older):
                try:
                    encrypted = await self._encrypt_anew(batch)
                except (Unavailable, DependencyRefused) as error:
                    call.kms_failure = error
                    raise
                if encrypted:
                    doing.rewrapped += await self._secrets.replace(encrypted)
