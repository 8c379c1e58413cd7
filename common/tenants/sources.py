"""The tables outside its dataset that a tenant may read, kept as one row of its table `tenant_settings`."""

import json
from collections.abc import Mapping

from common.clock import Clock
from common.errors import ObjectNotFound
from common.refreshed import RefreshedByTenant
from common.warehouse.warehouse import Parameter, Statement, TableRef, Warehouse

SETTINGS_TABLE = "tenant_settings"
SOURCES = "sources"

Sources = Mapping[str, TableRef]
"""Name -> table, for example `billing_export` -> `project.dataset.table`."""


class SourceGrants:
    """Every tenant's grants, at most `bound_seconds` old."""

    def __init__(self, warehouse: Warehouse, *, bound_seconds: float, wait_seconds: float, clock: Clock) -> None:
        self._warehouse = warehouse
        self._by_tenant: RefreshedByTenant[Sources] = RefreshedByTenant(
            self.read, bound_seconds=bound_seconds, wait_seconds=wait_seconds, clock=clock
        )

    async def of(self, tenant_id: str) -> Sources:
        """The grants of a tenant that exists. Raises Unavailable."""
        return await self._by_tenant.of(tenant_id).get()

    async def read(self, tenant_id: str) -> Sources:
        """The grants as the warehouse has them now. Raises Transient."""
        try:
            rows = await self._warehouse.list_rows(TableRef(tenant_id, SETTINGS_TABLE))
        except ObjectNotFound:  # an onboarding that has not come so far
            return {}
        for row in rows:
            if row["name"] == SOURCES:
                return {name: TableRef.parse(table) for name, table in json.loads(str(row["value"])).items()}
        return {}


def set_sources_statement(tenant_id: str, sources: Sources, *, principal: str) -> Statement:
    """The statement that replaces the tenant's grants. It can be repeated."""
    value = json.dumps({name: str(table) for name, table in sorted(sources.items())})
    return Statement(
        f"MERGE `{tenant_id}.{SETTINGS_TABLE}` AS setting "
        "USING (SELECT @name AS name, @value AS value, @principal AS principal) AS new ON setting.name = new.name "
        "WHEN MATCHED THEN UPDATE SET value = PARSE_JSON(new.value), update_time = CURRENT_TIMESTAMP(), "
        "update_principal = new.principal "
        "WHEN NOT MATCHED THEN INSERT (name, value, update_time, update_principal) "
        "VALUES (new.name, PARSE_JSON(new.value), CURRENT_TIMESTAMP(), new.principal)",
        (Parameter("name", "STRING", SOURCES), Parameter("value", "STRING", value), Parameter("principal", "STRING", principal)),
    )
