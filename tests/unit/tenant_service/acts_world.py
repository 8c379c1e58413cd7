"""Acts over a warehouse that the test names, a clock that stands still, and one tenant."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from common.audit import AUDIT_TABLE, AuditLog
from common.clock import Clock
from common.rpc.caller import Caller
from common.templates.catalog import default_configs_dir
from common.tenants.tenant import State, tenant_labels
from common.warehouse.effects import Effects
from common.warehouse.schemas import load_table_spec
from common.warehouse.warehouse import Row, TableRef, Warehouse
from tenant_service.acts import Act, Acts, Turn
from tenant_service.schema import Schema
from tests.clock import FakeClock

ADMIN = Caller("admin:12345678", None)
SPEC = load_table_spec(default_configs_dir() / "metadata" / "schemas" / f"{AUDIT_TABLE}.json")


@dataclass
class World:
    """Acts over a warehouse, and one tenant."""

    warehouse: Warehouse
    clock: FakeClock
    tenant_id: str

    def acts(self, warehouse: Any = None) -> Acts:
        """Acts as another process has them, over an adapter of its own where one is given."""
        return acts_over(warehouse or self.warehouse, self.clock)

    def act(self, **fields: Any) -> Act:
        """What a test asks for."""
        return Act(
            **{"method": "CreateKey", "tenant_id": self.tenant_id, "fields": {"scopes": ["runs:read"]}, **fields}
        )

    async def rows(self, tenant_id: str = "") -> list[Row]:
        """The table as it is, in the order of time."""
        rows = await self.warehouse.list_rows(TableRef(tenant_id or self.tenant_id, AUDIT_TABLE))
        return sorted(rows, key=lambda row: (str(row["create_time"]), str(row["phase"])))

    async def phases(self) -> list[tuple[object, object, object]]:
        """Phase, outcome and reason of each row."""
        return [(row["phase"], row["outcome"], row["reason"]) for row in await self.rows()]


def acts_over(warehouse: Warehouse, clock: Clock) -> Acts:
    audit = AuditLog(warehouse, Effects(warehouse, clock), SPEC, clock)
    return Acts(warehouse, audit, schema_over(warehouse))


def schema_over(warehouse: Warehouse) -> Schema:
    """The one that these tenants are of."""
    return Schema(warehouse, {AUDIT_TABLE: SPEC}, version=1)


async def new_tenant(warehouse: Warehouse, state: State = "ready") -> str:
    tenant_id = f"t_{uuid.uuid4().hex[:16]}"
    labels = tenant_labels(state, claim="c", request="r", body="b")
    await warehouse.create_dataset(tenant_id, location="US", labels=labels)
    await warehouse.create_table(TableRef(tenant_id, AUDIT_TABLE), SPEC)
    return tenant_id


def request_id() -> str:
    return str(uuid.uuid4())


def noting(turns: list[Turn], answer: str = "done") -> Callable[[Turn], Awaitable[str]]:
    async def done(turn: Turn) -> str:
        turns.append(turn)
        return answer

    return done
