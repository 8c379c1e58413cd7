"""Acts, on both warehouses."""

import pytest

from common.warehouse.warehouse import Warehouse
from tests.clock import FakeClock
from tests.unit.tenant_service.acts_bench import Bench, new_tenant


@pytest.fixture
async def bench(warehouse: Warehouse) -> Bench:
    """Acts and a tenant that is ready."""
    return Bench(warehouse, FakeClock(), await new_tenant(warehouse))
