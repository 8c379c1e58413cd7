"""The loading of the sample waits for a warehouse that is away."""

import asyncio
from pathlib import Path

import pytest

from common.errors import Transient
from common.warehouse.warehouse import TableRef, Warehouse
from local_stack import sample_data
from local_stack.sample_catalog import PROFILES
from tests.warehouses import LocalServer

PATIENCE_SECONDS = 60.0


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One export."""
    monkeypatch.setattr(sample_data, "PROFILES", PROFILES[:1])
    monkeypatch.setattr(sample_data, "PAUSE_SECONDS", 0.05)


@pytest.mark.usefixtures("small")
async def test_sample_is_loaded_once_the_warehouse_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused, exists = asyncio.Event(), sample_data._exists

    async def looked(warehouse: Warehouse, ref: TableRef) -> bool:
        try:
            return await exists(warehouse, ref)
        except Transient:
            refused.set()
            raise

    monkeypatch.setattr(sample_data, "_exists", looked)
    server = LocalServer(tmp_path)
    server.start()
    server.kill()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            loading = asyncio.create_task(sample_data.load(server.address, server.token))
            await refused.wait()
            server.start()
            await loading
        warehouse = server.connect()
        assert (await warehouse.get_table(sample_data.export_table(PROFILES[0].tenant_id))).row_count
        await warehouse.close()
    finally:
        server.stop()


@pytest.mark.usefixtures("small")
async def test_sample_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_data, "PATIENCE_SECONDS", 0.0)
    server = LocalServer(tmp_path)
    server.start()
    server.kill()
    with pytest.raises(Transient):
        await sample_data.load(server.address, server.token)
