"""One running system for all tests of a process that only ask what is refused, with a check that it left nothing behind; a tenant for
those that change its keys; and both services for those that stop tenants."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from common.warehouse.warehouse import Warehouse
from pipeline_service.temporal_connection import connect
from tests.rpc.bad_templates import ANY_TABLE, BAD
from tests.rpc.faulty_bigquery import MERGE_TEMPLATE, FaultyBigQuery
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.key_calls import KeyCalls, new_tenant
from tests.rpc.life_calls import BOUNDS, PIPELINE_BOUNDS, SLOW_TEMPLATE, LifeCalls
from tests.rpc.pipeline_stack import TEMPLATES, configs_with, pipeline_stack
from tests.rpc.system import System, Tenant
from tests.rpc.tenant_stack import tenant_stack
from tests.stubs.bigquery import BigQueryStub
from tests.stubs.bigquery import connect as connect_to_bigquery
from tests.warehouses import KINDS, LocalServer, Place, connector, new_place


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(
    local_server: LocalServer, temporal_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """Both services. Tests that use it run in the loop of the session: `pytest.mark.asyncio(loop_scope="session")`."""
    folder = tmp_path_factory.mktemp("system")
    warehouse = local_server.connect()
    task_queue = uuid.uuid4().hex
    configs_dir = configs_with(folder, {**TEMPLATES, **ANY_TABLE, **{name: bad.text for name, bad in BAD.items()}})
    options = {"configs_dir": configs_dir, "temporal_task_queue": task_queue}
    async with (
        tenant_stack(folder, warehouse) as tenants,
        pipeline_stack(folder, warehouse, tenants, temporal_address, **options) as pipelines,
    ):
        engine = await connect(temporal_address, namespace="default")
        acme, rival = [Tenant(*await pipelines.onboard()) for _ in range(2)]
        run = await pipelines.run(rival.tenant_id, rival.key)
        yield System(tenants, pipelines, engine, task_queue, acme, rival, run.pipeline_logging_id)
    await warehouse.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def faulty(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultyBigQuery]:
    """Runs on a BigQuery that fails as a test says. Such tests run in the loop of the session."""
    folder = tmp_path_factory.mktemp("faulty")
    stub = BigQueryStub()
    held = HeldWarehouse(connect_to_bigquery(stub.address))
    warehouse = cast("Warehouse", held)
    configs_dir = configs_with(folder, {**TEMPLATES, "merging": MERGE_TEMPLATE})
    async with (
        tenant_stack(folder, warehouse, project=stub.project) as tenants,
        pipeline_stack(folder, warehouse, tenants, temporal_address, configs_dir=configs_dir) as stack,
    ):
        yield FaultyBigQuery(stack, stub, held, *await stack.onboard())
        held.release()
    await warehouse.close()
    stub.close()


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of warehouse after the other, for all tests of a module that share a stack."""
    return str(request.param)


@pytest.fixture(scope="module")
def shared_folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the stack that a module's tests share on one kind of warehouse."""
    return tmp_path_factory.mktemp(kind)


@pytest.fixture(scope="module")
def shared_place(kind: str, request: pytest.FixtureRequest) -> Place:
    """A folder that the warehouse of this kind may load files from."""
    return new_place(kind, request)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_warehouse(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Warehouse]:
    """An adapter that a module's tests share. They run in the loop of the module: `pytest.mark.asyncio(loop_scope="module")`."""
    warehouse = connector(kind, request)()
    yield warehouse
    await warehouse.close()


@pytest.fixture
async def keys(warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[KeyCalls]:
    """A new tenant's keys, on each warehouse."""
    async with tenant_stack(tmp_path, warehouse) as stack:
        yield await new_tenant(stack, warehouse)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def life(shared_warehouse: Warehouse, temporal_address: str, shared_folder: Path) -> AsyncIterator[LifeCalls]:
    """Both services with bounds as short as they can be, on each warehouse, for all tests of a module."""
    configs_dir = configs_with(shared_folder, {**TEMPLATES, "slow": SLOW_TEMPLATE})
    async with (
        tenant_stack(shared_folder, shared_warehouse, **BOUNDS) as tenants,
        pipeline_stack(
            shared_folder, shared_warehouse, tenants, temporal_address, configs_dir=configs_dir, **PIPELINE_BOUNDS
        ) as stack,
    ):
        yield LifeCalls(stack)


@pytest_asyncio.fixture(loop_scope="session")
async def leaves_nothing(system: System) -> AsyncIterator[None]:
    """The test changes no dataset, starts no workflow and records no run."""
    before = await system.footprint()
    yield
    assert await system.footprint() == before
