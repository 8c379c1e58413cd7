"""RunTemplate: the days that defaults name are those of the moment at which a run is accepted."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from common.rpc.caller import Caller
from common.templates.catalog import Catalog
from pipeline_service.budgets import BudgetLimits, Budgets
from pipeline_service.engine import Started
from pipeline_service.locations import Locations
from pipeline_service.plan import Plan
from pipeline_service.planning import Planner
from pipeline_service.request_record import Requests
from pipeline_service.run import RunStatus
from pipeline_service.run_template import RunOptions, RunTemplate
from tests.clock import FakeClock
from tests.unit.pipeline_service.conftest import FakeTenants

TEMPLATE = """
description: x
parameters: {date: {type: date, default: "{yesterday}"}, until: {type: datetime, default: "{today}"}}
steps:
  - {id: a, type: query, sql: SELECT @date AS day, destination: {table: t, write: replace_table}}
"""
OPTIONS = RunOptions(date="", trigger_by="", parameters={}, request_id="")


class Engine:
    """Notes what it is asked to run."""

    def __init__(self) -> None:
        self.started: dict[str, Plan] = {}

    async def start(self, workflow_id: str, plan: Plan) -> Started:
        self.started[workflow_id] = plan
        return Started("", plan.header.pipeline_id, RunStatus.PENDING, already_running=False)


async def test_a_run_keeps_the_day_on_which_it_was_accepted_in_utc(tmp_path: Path) -> None:
    (tmp_path / "gcp" / "cost").mkdir(parents=True)
    (tmp_path / "gcp" / "cost" / "daily.yml").write_text(TEMPLATE)
    catalog = Catalog(tmp_path)
    catalog.load()
    clock, engine, tenants = FakeClock(), Engine(), FakeTenants()
    run_template = RunTemplate(
        catalog=catalog,
        tenants=tenants,
        planner=Planner(tenants, Locations(own={}, shared={}), clock),
        budgets=Budgets(BudgetLimits(), cast(Any, None), cast(Any, engine), clock),
        requests=Requests(cast(Any, engine), cast(Any, None)),
    )

    async def accepted() -> Plan:
        caller = Caller("key", "acme")
        await run_template(
            caller, tenant_id="acme", provider="gcp", domain="cost", template_name="daily", options=OPTIONS
        )
        return list(engine.started.values())[-1]

    midnight = datetime(2025, 11, 16, tzinfo=UTC)
    await clock.advance((midnight - clock.now()).total_seconds() - 0.001)
    first = await accepted()
    assert first.header.parameters == {"date": "2025-11-14", "until": "2025-11-15T00:00:00"}
    await clock.advance(0.001)
    second = await accepted()
    assert second.header.parameters == {"date": "2025-11-15", "until": "2025-11-16T00:00:00"}
    assert len(engine.started) == 2
    (step,) = first.steps
    assert step.query is not None
    assert [p.value for p in step.query.select.statement().parameters] == [date(2025, 11, 14)]
