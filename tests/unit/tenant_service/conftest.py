"""Acts, on both warehouses."""

import pytest

from common.warehouse.warehouse import Warehouse
from tests.clock import FakeClock
from tests.unit.tenant_service.acts_world import World, new_tenant


@pytest.fixture
async def world(warehouse: Warehouse) -> World:
    """Acts and a tenant that is ready. The clock stands where the warehouse's was when it made the tenant."""
    tenant_id = await new_tenant(warehouse)
    dataset = await warehouse.get_dataset(tenant_id)
    return World(warehouse, FakeClock(now=dataset.create_time), tenant_id)
