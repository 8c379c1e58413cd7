"""Pages: places in the order of time, and tokens that hold for one list alone."""

from datetime import UTC, datetime, timedelta

import pytest

from common.errors import InvalidInput
from common.fields import Fields
from common.paging import Page, Place, cut_page, page_request, place_after

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
PLACES = [
    Place(NOON + timedelta(microseconds=microseconds), item_id)
    for microseconds in (0, 1, 100_000, 1_000_000)
    for item_id in ("a", "b")
]


def page(token: str = "", *, bound_to: str = "list") -> Page[Place]:
    fields = Fields()
    request = page_request(fields, page_size=3, page_token=token, bound_to=bound_to, key_length=2)
    place_after(fields, request)
    fields.require_valid()
    return cut_page(reversed(PLACES), request, lambda place: place.key)


def test_pages_give_each_place_once_in_the_order_of_time_also_where_it_is_a_whole_second() -> None:
    first = page()
    second = page(first.next_page_token)
    third = page(second.next_page_token)
    assert [*first.items, *second.items, *third.items] == PLACES
    assert third.next_page_token == ""


def test_a_token_names_the_place_that_it_was_made_from() -> None:
    fields = Fields()
    request = page_request(fields, page_size=0, page_token=page().next_page_token, bound_to="list", key_length=2)
    assert place_after(fields, request) == PLACES[2]


@pytest.mark.parametrize(("token", "bound_to"), [(page().next_page_token, "another list"), ("bm9uZQ==", "list")])
def test_a_token_of_another_list_is_refused(token: str, bound_to: str) -> None:
    with pytest.raises(InvalidInput):
        page(token, bound_to=bound_to)
