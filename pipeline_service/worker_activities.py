"""The activities of a worker, made from what they work on."""

from common.clock import Clock
from common.tenants.tenants import Tenants
from common.warehouse.warehouse import Warehouse
from pipeline_service.activities import Activities
from pipeline_service.backfill_activities import BackfillActivities
from pipeline_service.backfill_days import BackfillDays
from pipeline_service.engine import RunEngine
from pipeline_service.gate_door import GateDoor
from pipeline_service.get_run import GetRun
from pipeline_service.locations import Locations
from pipeline_service.planning import Planner
from pipeline_service.price import Price
from pipeline_service.records import Records
from pipeline_service.steps.accounts import StepAccounts
from pipeline_service.steps.checks import Checks
from pipeline_service.steps.conditions import Conditions
from pipeline_service.steps.dq import DqExecutor
from pipeline_service.steps.executor import StepExecutor
from pipeline_service.steps.load import LoadExecutor
from pipeline_service.steps.newest_row import NewestRows
from pipeline_service.steps.publication import Publication
from pipeline_service.steps.query import QueryExecutor


def run_activities(
    *,
    tenants: Tenants,
    locations: Locations,
    records: Records,
    warehouse: Warehouse,
    accounts: StepAccounts,
    door: GateDoor,
    clock: Clock,
    price: Price,
) -> Activities:
    """Those of runs."""
    checks = Checks(warehouse, records, clock)
    publication = Publication(warehouse, checks, clock)
    steps = StepExecutor(
        query=QueryExecutor(warehouse, accounts, checks, publication),
        load=LoadExecutor(warehouse, locations, publication),
        dq=DqExecutor(warehouse, checks),
        conditions=Conditions(warehouse),
        newest_rows=NewestRows(accounts),
        tenants=tenants,
    )
    return Activities(steps=steps, records=records, warehouse=warehouse, door=door, clock=clock, price=price)


def backfill_activities(
    *, tenants: Tenants, planner: Planner, engine: RunEngine, records: Records
) -> BackfillActivities:
    """Those of backfills."""
    get_run = GetRun(engine, records)
    days = BackfillDays(engine, planner, get_run)
    return BackfillActivities(days=days, engine=engine, get_run=get_run, records=records, tenants=tenants)
