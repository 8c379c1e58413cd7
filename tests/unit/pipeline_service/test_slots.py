"""Who gets a slot, and when: the order and the limits, without an engine."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pipeline_service.gate_messages import Limits, SlotRequest
from pipeline_service.slots import MAX_WAITING, Slots

BEGIN = datetime(2025, 11, 15, tzinfo=UTC)


def asking(number: int, template: str = "daily", max_active_runs: int | None = None) -> SlotRequest:
    """A run that was accepted `number` seconds after the beginning."""
    return SlotRequest(f"run/t/{number}", f"{number:06}", BEGIN + timedelta(seconds=number), template, max_active_runs)


def served(slots: Slots) -> list[int]:
    """Give the free slots away: to whom."""
    found = slots.next()
    for one in found:
        slots.hold(one)
    return [int(one.engine_run_id) for one in found]


def test_runs_are_served_in_the_order_in_which_they_were_accepted_whatever_the_order_in_which_they_ask() -> None:
    slots = Slots(Limits(per_tenant=2, per_template=2))
    for number in (4, 2, 1, 3):
        slots.enter(asking(number))
    assert served(slots) == [1, 2]
    assert served(slots) == []
    slots.leave("000001")
    assert served(slots) == [3]


def test_a_run_passes_those_whose_template_is_at_its_limit() -> None:
    slots = Slots(Limits(per_tenant=3, per_template=2))
    for number in (1, 2, 3):
        slots.enter(asking(number))
    slots.enter(asking(4, "other"))
    slots.enter(asking(5, "other"))
    assert served(slots) == [1, 2, 4]
    slots.leave("000002")
    assert served(slots) == [3], "the one that was passed is the next of all"


def test_a_template_may_want_fewer_and_never_more() -> None:
    slots = Slots(Limits(per_tenant=9, per_template=2))
    for number in (1, 2):
        slots.enter(asking(number, "single", max_active_runs=1))
    for number in (3, 4, 5):
        slots.enter(asking(number, "many", max_active_runs=100))
    assert served(slots) == [1, 3, 4]


def test_asking_twice_changes_nothing_and_a_slot_that_was_just_given_stays() -> None:
    slots = Slots(Limits(per_tenant=1, per_template=1))
    slots.enter(asking(1))
    slots.enter(asking(1))
    assert slots.waiting == (asking(1),)
    assert served(slots) == [1]
    slots.enter(asking(1))
    assert slots.holders == (asking(1),)
    assert not slots.waiting


def test_a_presumed_holder_counts_until_it_says_that_it_waits() -> None:
    slots = Slots(Limits(per_tenant=1, per_template=1))
    slots.presume(asking(1))
    slots.presume(asking(2))
    slots.enter(asking(3))
    assert served(slots) == [], "two may hold the one slot that there is"
    slots.enter(asking(2))
    slots.enter(replace(asking(1), holds=True))
    assert served(slots) == []
    assert slots.waiting == (asking(2), asking(3))
    slots.enter(asking(1))
    assert [holder.engine_run_id for holder in slots.holders] == ["000001"], "it has said so itself"
    slots.leave("000001")
    assert served(slots) == [2]


def test_a_limit_that_was_lowered_takes_nobodys_slot() -> None:
    slots = Slots(Limits(per_tenant=3, per_template=3))
    for number in range(5):
        slots.enter(asking(number))
    assert served(slots) == [0, 1, 2]
    slots.limits = Limits(per_tenant=1, per_template=1)
    for number in range(2):
        slots.leave(f"{number:06}")
        assert served(slots) == []
    slots.leave("000002")
    assert served(slots) == [3]


def test_a_queue_takes_so_many_runs_and_what_goes_on_is_the_same() -> None:
    slots = Slots(Limits(per_tenant=1, per_template=1))
    for number in range(MAX_WAITING + 1):
        slots.enter(asking(number))
    assert len(slots.waiting) == MAX_WAITING
    again = Slots(slots.limits, holders=slots.holders, waiting=slots.waiting, unconfirmed=slots.unconfirmed)
    assert served(again) == served(slots) == [0]
    again.enter(asking(MAX_WAITING))
    assert again.waiting[-1] == asking(MAX_WAITING)


def test_no_limit_is_ever_broken_and_nobody_is_forgotten() -> None:
    chance = random.Random(4)
    limits = Limits(per_tenant=5, per_template=3)
    slots, waiting, active, done = Slots(limits), set[int](), {}, 0
    templates = {number: chance.choice("abc") for number in range(400)}
    arriving = iter(range(400))
    while done < 400:
        if (number := next(arriving, None)) is not None:
            slots.enter(asking(number, templates[number], max_active_runs=1 if templates[number] == "c" else None))
            waiting.add(number)
        for granted in served(slots):
            waiting.remove(granted)
            active[granted] = templates[granted]
        per_template = Counter(active.values())
        assert len(active) <= 5
        assert all(count <= 3 for count in per_template.values())
        assert per_template["c"] <= 1
        for ended in [one for one in active if chance.random() < 0.3]:
            slots.leave(f"{ended:06}")
            del active[ended]
            done += 1
    assert not waiting
    assert not slots.holders


def test_a_run_that_tolerates_no_other_waits_for_those_of_its_template_and_none_passes_it_then() -> None:
    slots = Slots(Limits(per_tenant=9, per_template=2))
    slots.enter(asking(1))
    assert served(slots) == [1]
    slots.enter(asking(2, max_active_runs=1))
    assert served(slots) == [], "the template was not exclusive as the first was accepted"
    slots.leave("000001")
    slots.enter(asking(3))
    assert served(slots) == [2]
    assert served(slots) == [], "nor is it any more for the third, which the second does not know of"
    slots.leave("000002")
    assert served(slots) == [3]
