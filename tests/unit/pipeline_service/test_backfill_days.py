"""The days of a backfill as texts: nothing is lost, and a change moves little."""

import uuid
from dataclasses import replace

import pytest

from common.errors import PlanTooLarge
from pipeline_service.backfill import DAYS_OF_A_GROUP, MAX_DAYS, Backfill, Day, DayStatus, dates_between
from pipeline_service.backfill_json import backfill_in_json, backfill_to_json
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.run import RunHeader, RunState, RunStatus
from pipeline_service.state_memo import fields_of, state_in
from pipeline_service.temporal_names import STATE_MEMO

FIRST, LAST = "2023-12-30", "2024-03-02"


def backfill() -> Backfill:
    return Backfill.of(FIRST, LAST, max_parallel=4, skip_complete=True)


def mixed() -> Backfill:
    """Days of every kind."""
    whole = backfill()
    for number, date in enumerate(dates_between(FIRST, LAST)):
        run_id = str(uuid.uuid5(uuid.NAMESPACE_OID, date)) if number % 3 else ""
        whole = whole.with_day(Day(date, list(DayStatus)[number % 6], run_id, joined=number % 5 == 0))
    return whole


def test_a_new_backfill_has_every_day_once_and_none_is_started() -> None:
    days = backfill().days
    assert [day.date for day in days] == dates_between(FIRST, LAST)
    assert (days[61].date, len(days)) == ("2024-02-29", 64)
    assert {replace(day, date="") for day in days} == {Day("")}


def test_every_state_of_a_day_is_read_as_it_was_written() -> None:
    run_ids = ("", "00000000-0000-8000-8000-000000000000", "ffffffff-ffff-8fff-bfff-ffffffffffff", str(uuid.uuid4()))
    for status in DayStatus:
        for run_id in run_ids:
            for joined in (False, True):
                day = Day("2024-02-29", status, run_id, joined)
                changed = backfill().with_day(day)
                assert changed.day(day.date) == day
                assert [one for one in changed.days if one.date != day.date] == [
                    one for one in backfill().days if one.date != day.date
                ]


def test_days_are_counted_by_their_state() -> None:
    assert sum(mixed().counts.values()) == 64
    for status, count in mixed().counts.items():
        assert count == sum(day.status is status for day in mixed().days)


def test_what_is_left_of_a_backfill_are_the_days_that_did_not_complete_with_their_runs() -> None:
    before, after = mixed().days, mixed().to_go_on().days
    for old, new in zip(before, after, strict=True):
        if old.status in (DayStatus.COMPLETE, DayStatus.SKIPPED):
            assert new == old
        else:
            assert new == Day(old.date, DayStatus.PENDING, old.pipeline_logging_id)


def test_a_row_of_the_records_tells_all_of_it_again() -> None:
    assert backfill_in_json(backfill_to_json(mixed())) == mixed()


def test_a_change_of_a_day_moves_its_group_alone_and_the_memo_tells_the_whole_state() -> None:
    first = RunState((), backfill=backfill())
    changed = mixed().with_day(Day(LAST, DayStatus.COMPLETE))
    second = RunState((), 1, RunStatus.RUNNING, backfill=mixed())
    third = replace(second, backfill=changed)
    assert fields_of(first).keys() == {STATE_MEMO}, "of which nothing is done"
    assert state_in(replace(first, backfill=replace(backfill(), groups=())), {}) == first
    moved = fields_of(third, second)
    assert moved.keys() == {STATE_MEMO, f"days{63 // DAYS_OF_A_GROUP}"}
    assert sum(len(str(value)) for value in moved.values()) < 30 * DAYS_OF_A_GROUP
    groups = {name: str(value) for name, value in fields_of(second).items() if name != STATE_MEMO} | {
        name: str(value) for name, value in moved.items() if name != STATE_MEMO
    }
    state = moved[STATE_MEMO]
    assert isinstance(state, RunState)
    assert state_in(state, groups) == third


def test_the_groups_of_the_longest_backfill_keep_their_order() -> None:
    longest = Backfill.of("2022-01-01", "2025-01-04", max_parallel=1, skip_complete=False)
    assert len(longest.days) == MAX_DAYS
    state = RunState((), backfill=longest.with_day(Day("2025-01-04", DayStatus.SKIPPED)))
    fields = dict(fields_of(state))
    kept = fields.pop(STATE_MEMO)
    assert isinstance(kept, RunState)
    assert state_in(kept, {name: str(value) for name, value in sorted(fields.items())}) == state


def test_a_backfill_whose_template_is_too_large_for_the_engine_is_refused() -> None:
    header = RunHeader("acme", "acme-gcp-cost-bill", "0" * 64, "test", "key", {}, work="backfill/x")
    plan = BackfillPlan(header, backfill(), "x" * 1_000_001, {}, "2025-11-15")
    with pytest.raises(PlanTooLarge):
        plan.require_fitting()
    assert "xxx" not in repr(plan)
    replace(plan, template_text="x" * 900_000).require_fitting()
