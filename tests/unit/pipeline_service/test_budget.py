"""Who may bill how much, who waits and who is refused, without an engine."""

import random

from pipeline_service.budget import Budget, Decision, ReservationRequest


def test_what_fits_is_granted_and_what_is_settled_for_less_leaves_the_rest_to_others() -> None:
    budget = Budget(100)
    budget.want(ReservationRequest("a", 60))
    budget.want(ReservationRequest("b", 40))
    assert budget.next() == [Decision("a", 60, 100), Decision("b", 40, 100)]
    assert budget.left == 0
    budget.settle("a", 10)
    assert (budget.used, budget.left) == (10, 50)


def test_two_that_each_fit_alone_are_not_granted_together() -> None:
    budget = Budget(100)
    budget.want(ReservationRequest("a", 60))
    budget.want(ReservationRequest("b", 60))
    assert budget.next() == [Decision("a", 60, 100)]
    assert budget.next() == []
    budget.settle("a", 60)
    assert budget.next() == [Decision("b", None, 40)], "refused, now that it can never fit"
    assert not budget.waiting


def test_one_that_waits_is_granted_once_others_have_billed_less_than_they_reserved() -> None:
    budget = Budget(100)
    budget.want(ReservationRequest("a", 60))
    budget.want(ReservationRequest("b", 60))
    budget.next()
    budget.settle("a", 40)
    assert budget.next() == [Decision("b", 60, 60)]


def test_what_can_never_fit_is_refused_at_once_and_holds_nobody_up() -> None:
    budget = Budget(100, used=30)
    budget.want(ReservationRequest("a", 71))
    budget.want(ReservationRequest("b", 70))
    assert budget.next() == [Decision("a", None, 70), Decision("b", 70, 70)]


def test_nobody_passes_one_that_waits() -> None:
    budget = Budget(100)
    for key, least in (("a", 60), ("b", 60), ("c", 10)):
        budget.want(ReservationRequest(key, least))
    assert [decision.key for decision in budget.next()] == ["a"]
    budget.drop("b")
    assert budget.next() == [Decision("c", 10, 100)]


def test_what_nobody_knows_the_bound_of_gets_all_that_is_left_once_it_is_alone() -> None:
    budget = Budget(100)
    budget.want(ReservationRequest("a", 60))
    budget.want(ReservationRequest("b", 10, takes_all=True))
    budget.want(ReservationRequest("c", 1))
    assert [decision.key for decision in budget.next()] == ["a"]
    budget.settle("a", 5)
    assert budget.next() == [Decision("b", 95, 95)]
    budget.settle("b", 95)
    assert budget.next() == [Decision("c", None, 0)]
    bounded = Budget(100)
    bounded.want(ReservationRequest("d", 10, takes_all=True, most=30))
    assert bounded.next() == [Decision("d", 30, 100)]


def test_a_wish_that_is_known_changes_nothing() -> None:
    budget = Budget(100)
    for _ in range(2):
        budget.want(ReservationRequest("a", 60))
        budget.next()
        budget.want(ReservationRequest("b", 60))
    assert budget.held == {"a": 60}
    assert [wish.key for wish in budget.waiting] == ["b"]


def test_no_limit_is_ever_passed_and_nobody_waits_for_ever() -> None:
    chance = random.Random(4)
    budget, arriving, running, decided = Budget(10_000), iter(range(500)), dict[str, int](), 0
    while decided < 500:
        for _ in range(chance.randrange(4)):
            if (number := next(arriving, None)) is not None:
                budget.want(ReservationRequest(str(number), chance.randrange(1, 400), takes_all=chance.random() < 0.1))
        for decision in budget.next():
            decided += 1
            if decision.bytes is not None:
                running[decision.key] = decision.bytes
        assert budget.used + sum(running.values()) <= budget.limit
        assert budget.held == running
        for key in [key for key in running if chance.random() < 0.4]:
            budget.settle(key, chance.randrange(running.pop(key) + 1))
    assert budget.used > 9_000, "the budget was used"
    assert not budget.waiting
