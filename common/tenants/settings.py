"""A tenant's settings: rows of its table `tenant_settings`, one JSON value by name. Small, so read whole and without a query job."""

import json
from collections.abc import Mapping
from typing import Any

from common.errors import ObjectNotFound
from common.warehouse.warehouse import Parameter, Statement, TableRef, Warehouse

SETTINGS_TABLE = "tenant_settings"


async def read_settings(warehouse: Warehouse, tenant_id: str) -> Mapping[str, Any]:
    """The settings as the warehouse has them now; empty before the onboarding made the table. Raises Transient.

    Of rows of one name, which two inserts at the same time can leave, the newest counts.
    """
    try:
        rows = await warehouse.list_rows(TableRef(tenant_id, SETTINGS_TABLE))
    except ObjectNotFound:
        return {}
    oldest_first = sorted(rows, key=lambda row: str(row["update_time"]))
    return {str(row["name"]): json.loads(str(row["value"])) for row in oldest_first}


def setting_statement(tenant_id: str, name: str, value: object, *, principal: str) -> Statement:
    """The statement that sets one setting. It can be repeated."""
    return Statement(
        f"MERGE `{tenant_id}.{SETTINGS_TABLE}` AS setting "
        "USING (SELECT @name AS name, @value AS value, @principal AS principal) AS given ON setting.name = given.name "
        "WHEN MATCHED THEN UPDATE SET value = given.value, update_time = CURRENT_TIMESTAMP(), "
        "update_principal = given.principal "
        "WHEN NOT MATCHED THEN INSERT (name, value, update_time, update_principal) "
        "VALUES (given.name, given.value, CURRENT_TIMESTAMP(), given.principal)",
        (
            Parameter("name", "STRING", name),
            Parameter("value", "JSON", json.dumps(value, sort_keys=True)),
            Parameter("principal", "STRING", principal),
        ),
    )
