"""Brings the metadata tables of all tenants, or of one, to this server's schema version."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Literal

from common.audit import AuditLog
from common.rpc.caller import Caller
from common.tenants.tenant import TenantRecord
from common.warehouse.warehouse import Warehouse
from tenant_service.acts import Act, entry_of
from tenant_service.all_tenants import as_done, failure_reason, named_or_all
from tenant_service.schema import Schema

Result = Literal["MIGRATED", "CURRENT", "FAILED"]


@dataclass(frozen=True, slots=True)
class Migration:
    """How the migration of one tenant ended; `error` names an ErrorReason, "" unless it failed."""

    tenant_id: str
    result: Result
    from_version: int
    to_version: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """One tenant's migration, the tenants done with it, and all that there are."""

    migration: Migration
    done_tenants: int
    tenants: int


class MigrateTenants:
    """The use case; one for the process."""

    def __init__(self, *, warehouse: Warehouse, schema: Schema, audit: AuditLog) -> None:
        self._warehouse = warehouse
        self._schema = schema
        self._audit = audit

    async def __call__(self, caller: Caller, *, tenant_id: str) -> AsyncGenerator[MigrationProgress, None]:
        """Migrate the tenant or, for "", all that are ready or suspended, and tell of each as it is done. One that fails stops no other.

        Raises InvalidInput, TenantNotFound, TenantNotReady, Transient: nothing was begun.
        """
        tenants = await named_or_all(self._warehouse, tenant_id, states=frozenset({"ready", "suspended"}))
        done = 0
        async with aclosing(as_done(tenants, partial(self._migrate, caller))) as migrations:
            async for migration in migrations:
                done += 1
                yield MigrationProgress(migration, done, len(tenants))

    async def _migrate(self, caller: Caller, tenant: TenantRecord) -> Migration:
        versions = (tenant.schema_version, self._schema.version)
        if tenant.schema_version >= self._schema.version:
            return Migration(tenant.tenant_id, "CURRENT", *versions)
        try:
            await self._recorded(caller, tenant.tenant_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other tenants go on
            return Migration(tenant.tenant_id, "FAILED", *versions, failure_reason(error, tenant_id=tenant.tenant_id))
        return Migration(tenant.tenant_id, "MIGRATED", *versions)

    async def _recorded(self, caller: Caller, tenant_id: str) -> None:
        entry = entry_of(caller, Act("MigrateTenants", tenant_id))
        async with self._audit.recording(entry) as recording:
            await self._schema.complete(tenant_id)
            await recording.attempt()  # no earlier: the table to record it in may have been missing
            await self._schema.mark(tenant_id)
