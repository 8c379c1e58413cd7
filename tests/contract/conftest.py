"""The contract suite runs over both adapters of the warehouse port; every test has a dataset of its own."""

import uuid

import pytest

from common.warehouse.warehouse import Warehouse
from tests.stubs.bigquery import LOCATION


@pytest.fixture
async def dataset(warehouse: Warehouse) -> str:
    """A new dataset's name."""
    name = f"t_{uuid.uuid4().hex[:16]}"
    await warehouse.create_dataset(name, location=LOCATION, labels={})
    return name
