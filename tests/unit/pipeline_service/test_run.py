"""What a run says of its cost: of its own steps, each at the price of its time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import TypeAdapter

from pipeline_service.run import Run, RunHeader, RunState, Step, StepStatus

CREATED = datetime(2025, 11, 15, 6, tzinfo=UTC)
TIB = 2**40


def step(step_id: str, start_time: datetime | None, *, price: str = "6.25") -> Step:
    return Step(
        step_id, "query", StepStatus.COMPLETE, start_time, bytes_billed=TIB, bytes_processed=1, price_per_tib_usd=price
    )


def run(*steps: Step) -> Run:
    header = RunHeader("acme", "acme-gcp-cost-daily", "digest", "api", "key", {})
    return Run("id", CREATED, header, RunState(steps))


def test_a_cost_is_reckoned_at_the_price_of_its_time() -> None:
    both = run(step("a", CREATED), step("b", CREATED + timedelta(days=1), price="5"))
    assert both.cost_usd == Decimal("11.25")


def test_what_the_run_before_had_completed_is_accounted_for_there() -> None:
    retry = run(step("a", CREATED - timedelta(seconds=1)), step("b", CREATED))
    assert [own.step_id for own in retry.own_steps] == ["b"]
    assert retry.cost_usd == Decimal("6.25")


def test_a_step_that_has_not_started_has_cost_nothing_yet() -> None:
    waiting = run(Step("a", "query"))
    assert (waiting.own_steps, waiting.cost_usd) == ((), None)


def test_a_step_of_an_earlier_release_is_read_and_its_cost_is_not_known() -> None:
    recorded = '{"step_id": "a", "type": "query", "status": "COMPLETE", "start_time": "2025-11-15T06:00:00Z", "bytes_billed": 5}'
    old = TypeAdapter(Step).validate_json(recorded)
    assert (old.bytes_billed, old.cost_usd, old.stage_job_id, old.rows_staged) == (5, None, "", 0)
    assert run(old).cost_usd is None
