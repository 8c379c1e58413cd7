"""The metadata tables of tenants, and how those of an earlier version become those of this server's: by additions alone.

Nothing is ever dropped or changed, so that servers of both versions work on a tenant while one release takes the other's place.
"""

import asyncio
from collections.abc import Mapping

import structlog

from common.errors import ObjectExists, PreconditionLost, TenantSchemaConflict
from common.tenants.tenant import SCHEMA, TenantRecord, schema_version_of
from common.warehouse.columns import Column, same_columns
from common.warehouse.warehouse import TableRef, TableSpec, Warehouse

_log = structlog.get_logger(__name__)


class Schema:
    """What every tenant's tables shall be, at one version. Every method can be repeated, by anybody and at the same time."""

    def __init__(self, warehouse: Warehouse, tables: Mapping[str, TableSpec], version: int) -> None:
        self._warehouse = warehouse
        self._tables = tables
        self.version = version

    async def bring_up(self, tenant: TenantRecord) -> None:
        """Bring a tenant's tables to this version; nothing is asked of the warehouse where they are at it, or beyond.

        Raises TenantSchemaConflict, ObjectNotFound (its dataset), Terminal, Transient. What was cut off is gone on with by calling again.
        """
        if tenant.schema_version < self.version:
            await self.complete(tenant.tenant_id)
            await self.mark(tenant.tenant_id)

    async def complete(self, tenant_id: str) -> None:
        """Create the tables that the tenant lacks and add the columns that they lack. Raises as `bring_up`, once every table was tried."""
        tables = (self._complete(TableRef(tenant_id, name), spec) for name, spec in self._tables.items())
        for outcome in await asyncio.gather(*tables, return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def mark(self, tenant_id: str) -> None:
        """Note on the dataset that its tables are at this version, unless they are beyond it. Raises ObjectNotFound, Transient."""
        while True:
            dataset = await self._warehouse.get_dataset(tenant_id)
            version = schema_version_of(dataset)
            if version >= self.version:
                return
            try:
                await self._warehouse.set_labels(dataset, {SCHEMA: str(self.version)})
            except PreconditionLost:
                continue
            _log.info("schema migrated", tenant_id=tenant_id, from_version=version, to_version=self.version)
            return

    async def _complete(self, ref: TableRef, spec: TableSpec) -> None:
        try:
            await self._warehouse.create_table(ref, spec)
        except ObjectExists:
            found = {column.name.lower(): column for column in (await self._warehouse.get_table(ref)).spec.columns}
            _require_same_types(ref, spec, found)
            if missing := [column for column in spec.columns if column.name.lower() not in found]:
                await self._warehouse.add_columns(ref, missing)


def _require_same_types(ref: TableRef, spec: TableSpec, found: Mapping[str, Column]) -> None:
    conflicts = [
        (wanted, has)
        for wanted in spec.columns
        if (has := found.get(wanted.name.lower())) is not None and not same_columns([wanted], [has])
    ]
    for wanted, has in conflicts:
        _log.error(
            "a column is of another type than in the schema",
            tenant_id=ref.dataset,
            table=ref.table,
            column=has.name,
            type=f"{has.type} {has.mode}",
            wanted=f"{wanted.type} {wanted.mode}",
        )
    if conflicts:
        raise TenantSchemaConflict
