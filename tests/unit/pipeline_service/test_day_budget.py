"""The bytes of a tenant's day, as its gate reckons them from what runs say, without an engine."""

import random
from dataclasses import replace
from datetime import date, timedelta

from pipeline_service.budget_messages import DayUse, Reservation, UsageReport
from pipeline_service.day_budget import DayBudget

TODAY = date(2025, 11, 15)
TOMORROW = TODAY + timedelta(days=1)


def account(run: str, version: int, used: int, *reservations: Reservation, day: date = TODAY) -> UsageReport:
    return UsageReport(f"run/t/{run}", run, version, day.isoformat(), used, reservations)


def wish(key: str, least: int) -> Reservation:
    return Reservation(key, least)


def granted(day: DayBudget) -> dict[str, int | None]:
    """Decide: what each reservation got, by its run and key."""
    return {f"{run.engine_run_id} {funding.key}": funding.bytes for run, funding in day.next()}


def test_runs_cannot_pass_the_limit_together_though_each_would_fit_alone() -> None:
    day = DayBudget(100, TODAY)
    day.tell(account("a", 1, 0, wish("load", 60)))
    day.tell(account("b", 1, 0, wish("load", 60)))
    assert granted(day) == {"a load": 60}
    day.tell(account("a", 2, 60))
    assert granted(day) == {"b load": None}
    assert day.use().billed == 60


def test_hearing_something_twice_or_late_changes_nothing() -> None:
    day = DayBudget(100, TODAY)
    first, second = account("a", 1, 0, wish("load", 60)), account("a", 2, 50)
    for told in (first, first):
        day.tell(told)
    assert granted(day) == {"a load": 60}
    for told in (second, second, first):
        day.tell(told)
    assert (day.use().billed, day.use().reserved) == (50, 0)


def test_a_run_that_has_not_heard_yet_what_it_was_granted_keeps_it_and_is_told_again() -> None:
    day = DayBudget(100, TODAY)
    day.tell(account("a", 1, 0, wish("load", 60)))
    assert granted(day) == {"a load": 60}
    day.tell(account("a", 2, 0, wish("load", 60), wish("other", 10)))
    day.tell(account("b", 1, 0, wish("load", 60)))
    assert granted(day) == {"a load": 60, "a other": 10}
    assert day.use().reserved == 70
    assert granted(day) == {}


def test_a_reservation_may_be_split_up_by_its_run() -> None:
    day = DayBudget(100, TODAY)
    day.tell(account("a", 1, 0, wish("load wants both", 80)))
    granted(day)
    day.tell(account("a", 2, 0, Reservation("load reads", 30, holds=True), Reservation("load publish", 50, holds=True)))
    day.tell(account("b", 1, 0, wish("load", 30)))
    assert granted(day) == {}
    day.tell(account("a", 3, 20, Reservation("load publish", 50, holds=True)))
    assert granted(day) == {"b load": 30}


def test_a_run_that_was_ended_by_hand_counts_with_all_that_it_had_reserved() -> None:
    day = DayBudget(100, TODAY)
    day.tell(account("a", 1, 10, wish("load", 60)))
    granted(day)
    day.tell(account("b", 1, 0, wish("load", 90)))
    day.close("a")
    day.close("a")
    assert day.use() == DayUse(TODAY.isoformat(), 100, 70, day.use().runs)
    assert granted(day) == {"b load": None}


def test_one_that_waits_is_forgotten_with_its_run() -> None:
    day = DayBudget(100, TODAY)
    for run in "abc":
        day.tell(account(run, 1, 0, wish("load", 60)))
    assert granted(day) == {"a load": 60}
    day.close("b")
    day.tell(account("a", 2, 20))
    assert granted(day) == {"c load": 60}


def test_a_new_day_begins_at_zero_with_what_is_still_reserved() -> None:
    day = DayBudget(100, TODAY)
    day.tell(account("a", 1, 0, wish("load", 60)))
    day.tell(account("b", 1, 35))
    granted(day)
    day.begin(TOMORROW)
    assert (day.use().billed, day.use().reserved) == (0, 60)
    day.tell(account("c", 1, 0, wish("load", 50)))
    assert granted(day) == {}
    day.tell(account("b", 2, 35))
    assert day.use().billed == 0, "b says what it used yesterday"
    day.tell(account("a", 2, 30, day=TOMORROW))
    assert day.use().billed == 30
    assert granted(day) == {"c load": 50}
    day.begin(TODAY)
    assert day.use().day == TOMORROW.isoformat()


def test_the_next_gate_goes_on_from_what_the_last_one_showed() -> None:
    day = DayBudget(100, TODAY)
    day.tell(account("gone", 1, 20))
    day.close("gone")
    day.tell(account("a", 1, 5, wish("load", 40)))
    granted(day)
    day.tell(account("b", 1, 0, wish("load", 60)))
    shown = day.use()
    again = DayBudget(100, TODAY, shown)
    assert again.use() == shown
    assert granted(again) == {}, "b still waits"
    again.tell(account("a", 2, 25))
    assert granted(again) == {"b load": None}
    later = DayBudget(100, TOMORROW, shown)
    assert (later.use().billed, later.use().reserved) == (0, 40)


def test_runs_that_nobody_lists_any_more_have_ended() -> None:
    day = DayBudget(100, TODAY)
    day.tell(account("a", 1, 5, wish("load", 40)))
    day.tell(account("b", 1, 5))
    granted(day)
    day.keep(["b", "c"])
    assert (day.use().billed, day.use().reserved) == (50, 0)


def test_without_a_limit_everything_is_granted_and_a_limit_that_comes_counts_what_was_used() -> None:
    day = DayBudget(None, TODAY)
    day.tell(account("a", 1, 0, wish("load", 10**15)))
    assert granted(day) == {"a load": 10**15}
    day.tell(account("a", 2, 70))
    day.limit = 100
    day.tell(account("b", 1, 0, wish("load", 31)))
    assert granted(day) == {"b load": None}


def test_gates_that_break_at_any_moment_never_let_the_limit_be_passed() -> None:
    chance = random.Random(7)
    day, limit, billed, held, refused = DayBudget(1000, TODAY), 1000, 0, dict[str, int](), set[str]()
    accounts = {str(number): account(str(number), 1, 0, wish("load", chance.randrange(1, 200))) for number in range(60)}
    for _ in range(400):
        run = chance.choice(list(accounts))
        told = accounts[run]
        if run in held and chance.random() < 0.5:
            used = chance.randrange(held.pop(run) + 1)
            billed += used
            told = replace(told, version=told.version + 1, used=used, reservations=())
        elif run in held:
            told = replace(told, version=told.version + 1, reservations=(Reservation("load", held[run], holds=True),))
        else:
            told = replace(told, version=told.version + 1)
        accounts[run] = told
        day.tell(told)
        if chance.random() < 0.1:
            day = DayBudget(limit, TODAY, day.use())
        for key, size in granted(day).items():
            name = key.split()[0]
            if size is None:
                refused.add(name)
                accounts[name] = replace(accounts[name], reservations=())
            elif accounts[name].reservations:
                held[name] = size
        assert billed + sum(held.values()) <= limit
    assert billed > 700
