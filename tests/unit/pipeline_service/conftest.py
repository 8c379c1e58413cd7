"""A run engine, a worker over the fake warehouse, and a tenant, for each test."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import Client

from common.clock import SystemClock
from common.errors import ConvergenceError
from common.templates.catalog import default_configs_dir
from common.tenants.tenant import State, TenantRecord
from common.tenants.tenants import Tenants
from common.warehouse.schemas import load_table_spec
from common.warehouse.warehouse import Dataset, TableRef
from pipeline_service import gate, run_slot, temporal_engine, temporal_gates
from pipeline_service.activities import Activities
from pipeline_service.engine import Execution, Started
from pipeline_service.gate_activities import GateActivities
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import Limits
from pipeline_service.locations import Locations
from pipeline_service.plan import Plan
from pipeline_service.planning import Planner
from pipeline_service.price import Price
from pipeline_service.records import CHECKS, RUNS, STEPS, Records
from pipeline_service.request_record import Opened, Requests
from pipeline_service.run import Run
from pipeline_service.run_id import workflow_id_of
from pipeline_service.steps.accounts import StepAccounts
from pipeline_service.temporal_connection import connect
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.temporal_gates import TemporalGates
from pipeline_service.temporal_requests import TemporalRequests
from pipeline_service.worker import working
from pipeline_service.worker_activities import backfill_activities, run_activities
from tests.temporal import DevServer
from tests.unit.pipeline_service.fake_warehouse import DAY, FakeWarehouse

LIMITS = Limits(per_tenant=4, per_template=3)
PRICE = Price(Decimal("6.25"))


@dataclass
class FakeTenants(Tenants):
    """Tenants as a test wants them."""

    problem: ConvergenceError | None = None
    state: State = "deleting"
    granted: Mapping[str, TableRef] = field(default_factory=dict)

    async def require_ready(self, tenant_id: str) -> None:
        if self.problem is not None:
            raise self.problem

    async def require_stopped(self, tenant_id: str) -> TenantRecord:
        await self.require_ready(tenant_id)
        return TenantRecord(tenant_id, self.state, Dataset(tenant_id, "", {}, SystemClock().now(), ""))

    async def sources(self, tenant_id: str) -> Mapping[str, TableRef]:
        return self.granted


@dataclass
class Lab:
    """Everything but the wire."""

    client: Client
    warehouse: FakeWarehouse
    records: Records
    tenants: FakeTenants
    tenant_id: str
    task_queue: str
    limits: Limits = LIMITS

    def __post_init__(self) -> None:
        self.limit(self.limits)

    def limit(self, limits: Limits) -> None:
        """Have these limits from now on."""
        self.limits = limits
        self.door = GateDoor(TemporalGates(self.client, task_queue=self.task_queue), limits)
        self.engine = TemporalEngine(self.client, task_queue=self.task_queue, door=self.door)
        self.ledger = TemporalRequests(self.client, task_queue=self.task_queue)
        self.requests = Requests(self.engine, self.ledger)
        self.gates = TemporalGates(self.client, task_queue=self.task_queue)

    @asynccontextmanager
    async def worker(
        self,
        client: Client | None = None,
        grace_seconds: float = 0,
        *,
        slots: int = 10,
        activities: Activities | None = None,
    ) -> AsyncIterator[None]:
        """A worker, as a process of the service has one; `activities` take the place of those of runs."""
        clock, nowhere = SystemClock(), Locations(own={}, shared={})
        activities = activities or run_activities(
            tenants=self.tenants,
            locations=nowhere,
            records=self.records,
            warehouse=self.warehouse,
            accounts=StepAccounts(self.warehouse, None),
            door=self.door,
            clock=clock,
            price=PRICE,
        )
        planner = Planner(self.tenants, nowhere, clock)
        gates = TemporalGates(client or self.client, task_queue=self.task_queue)
        async with working(
            client or self.client,
            activities,
            GateActivities(gates=gates, tenants=self.tenants, records=self.records, limits=self.limits, clock=clock),
            backfill_activities(tenants=self.tenants, planner=planner, engine=self.engine, records=self.records),
            task_queue=self.task_queue,
            max_concurrent_steps=slots,
            grace_seconds=grace_seconds,
        ):
            yield

    async def start(self, plan: Plan) -> Started:
        """Start or join, without a request id."""
        return await self.engine.start(plan.workflow_id, plan)

    def workflow_id(self, plan: Plan) -> str:
        """The plan's workflow."""
        return plan.workflow_id

    async def open_record(self, key: str, digest: str, plan: Plan) -> Opened:
        """Open the record of a request for this plan, as a call does that gets no further."""
        return await self.ledger.open(
            key, request_digest=digest, run_workflow_id=plan.workflow_id, work_id=plan.header.work_id
        )

    async def execution(self, pipeline_logging_id: str) -> Execution:
        """The run, which must be the latest of its workflow."""
        workflow_id = workflow_id_of(self.tenant_id, pipeline_logging_id)
        assert workflow_id is not None
        execution = await self.engine.describe(workflow_id)
        assert execution is not None
        assert execution.run.pipeline_logging_id == pipeline_logging_id
        return execution

    async def end_of(self, started: Started) -> Run:
        """The run once it has ended."""
        return [run async for run in self.engine.changes(await self.execution(started.pipeline_logging_id))][-1]

    async def run(self, plan: Plan) -> Run:
        """Run a plan to its end."""
        return await self.end_of(await self.start(plan))


@pytest.fixture
async def lab(temporal_address: str) -> AsyncIterator[Lab]:
    """A lab without a worker. Its fake yields one row for `select load`, and lets `measure ok` pass, `measure bad` fail."""
    warehouse = FakeWarehouse()
    warehouse.selects["select load"] = [{"day": DAY, "service": "compute", "cost": 1}]
    warehouse.measures["measure ok"] = lambda _: {"passed": True, "failing_rows": 0, "observed": None, "expected": None}
    warehouse.measures["measure bad"] = lambda rows: {
        "passed": False,
        "failing_rows": len(rows),
        "observed": None,
        "expected": None,
    }
    schemas: Path = default_configs_dir() / "metadata" / "schemas"
    specs = {name: load_table_spec(schemas / f"{name}.json") for name in (RUNS, STEPS, CHECKS)}
    yield Lab(
        client=await connect(temporal_address, namespace="default"),
        warehouse=warehouse,
        records=Records(warehouse, specs, SystemClock()),
        tenants=FakeTenants(),
        tenant_id=f"t{uuid.uuid4().hex[:12]}",
        task_queue=uuid.uuid4().hex,
    )
    await warehouse.close()


@pytest.fixture
def short_histories(monkeypatch: pytest.MonkeyPatch) -> int:
    """Gates go on under a new history after so many events: fewer than those of a release, which have to be sent first."""
    assert gate.MAX_EVENTS == 500, "in a release"
    monkeypatch.setattr(gate, "MAX_EVENTS", 100)
    return gate.MAX_EVENTS


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have who asks a gate wait for its answer however busy the machine is: a run then hears of its slot in its first task."""
    for module, name in (
        (temporal_engine, "START_DELAY"),
        (temporal_gates, "ANSWER_TIMEOUT"),
        (run_slot, "SPOKEN_FOR_PAUSE"),
        (gate, "KNOWN_FOR"),
    ):
        monkeypatch.setattr(module, name, timedelta(seconds=30))


@pytest.fixture
async def unreachable(lab: Lab, tmp_path: Path) -> TemporalEngine:
    """The engine's adapter, whose engine has gone away."""
    server = DevServer(tmp_path)
    server.start()
    try:
        client = await connect(server.address, namespace="default")
    finally:
        server.stop()
    return TemporalEngine(client, task_queue=lab.task_queue)
