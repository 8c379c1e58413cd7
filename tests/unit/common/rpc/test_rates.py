"""Token buckets: how much they let through, how exact the wait is that they tell, and what they keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rpc.rates import TokenBuckets


def taken_at(buckets: TokenBuckets, now: float, wanted: int) -> int:
    """How many of so many tokens there are."""
    taken = 0
    for _ in range(wanted):
        if buckets.wait_seconds("a", now) == 0:
            buckets.take("a", now)
            taken += 1
    return taken


@pytest.mark.parametrize("burst", [1, 3, 1000])
def test_a_full_bucket_gives_exactly_its_burst_at_once(burst: int) -> None:
    assert taken_at(TokenBuckets(per_second=7.3, burst=burst), 123.456, burst + 5) == burst


def test_after_exactly_the_wait_there_is_exactly_one_token() -> None:
    buckets, now = TokenBuckets(per_second=3, burst=4), 5.0
    assert taken_at(buckets, now, 10) == 4
    for _ in range(100):
        wait = buckets.wait_seconds("a", now)
        assert 0 < wait <= 1 / 3 + 1e-9
        assert buckets.wait_seconds("a", now + wait * 0.99) > 0
        now += wait
        assert taken_at(buckets, now, 3) == 1


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(0.5, 20), st.integers(1, 10))
def test_no_span_of_time_gives_more_than_the_burst_and_what_was_gained_in_it(
    pauses: list[float], per_second: float, burst: int
) -> None:
    buckets = TokenBuckets(per_second=per_second, burst=burst)
    now, given_at = 0.0, list[float]()
    for pause in pauses:
        now += pause
        given_at += [now] * taken_at(buckets, now, 3)
    for first, begin in enumerate(given_at):
        for last in range(first, len(given_at)):
            assert last - first + 1 <= burst + (given_at[last] - begin) * per_second + 1e-3


def test_a_bucket_that_is_full_again_is_not_kept() -> None:
    buckets = TokenBuckets(per_second=10, burst=5)
    for number in range(100_000):
        buckets.take(f"name {number}", number / 1000)
    assert len(buckets) <= 1000 * 5 / 10 + 1


def test_names_do_not_share() -> None:
    buckets = TokenBuckets(per_second=1, burst=1)
    buckets.take("a", 0)
    assert buckets.wait_seconds("a", 0) == 1
    assert buckets.wait_seconds("b", 0) == 0
