"""Pages of a list (AIP-158): a token says where the page before ended, so items that come and go make no other be missed or repeated."""

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from common.digest import short_digest
from common.fields import Fields

T = TypeVar("T")
Key = tuple[str, ...]
"""What a list is ordered by."""

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
_NOT_OURS = "is no token of an earlier answer to the same request"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for: `size` items after `after`, from the beginning where it is None. `bound_to` goes into the next token."""

    size: int
    after: Key | None
    bound_to: str

    def token_after(self, key: Key) -> str:
        """The token of the page that begins after `key`."""
        return base64.urlsafe_b64encode(json.dumps([self.bound_to, *key]).encode()).decode()


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list that is ordered by time and, within one, by id."""

    time: datetime
    item_id: str

    @property
    def key(self) -> Key:
        """The place as a token keeps it."""
        return self.time.isoformat(timespec="microseconds"), self.item_id


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Items in order, and the token of the next page, "" on the last."""

    items: Sequence[T]
    next_page_token: str


def page_request(
    fields: Fields, *, page_size: int, page_token: str, bound_to: object, key_length: int = 1
) -> PageRequest:
    """Read the two fields of a request, noting violations in `fields`. A token holds only for an equal `bound_to` (JSON: the tenant, the
    filters) and a key of `key_length` parts."""
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        fields.violation("page_size", f"must be 0 to {MAX_PAGE_SIZE}")
    bound = short_digest(bound_to)
    after = None
    if page_token:
        after = _key_in(page_token, bound)
        if after is None or len(after) != key_length:
            fields.violation("page_token", _NOT_OURS)
    return PageRequest(page_size or DEFAULT_PAGE_SIZE, after, bound)


def place_after(fields: Fields, request: PageRequest) -> Place | None:
    """Where the page before ended, in a list with a Place for every item (`key_length` 2); None for the first page."""
    if request.after is None:
        return None
    time, item_id = request.after
    try:
        place = Place(datetime.fromisoformat(time), item_id)
    except ValueError:
        place = None
    if place is None or place.time.tzinfo != UTC:
        fields.violation("page_token", _NOT_OURS)
        return None
    return place


def cut_page(items: Iterable[T], request: PageRequest, key: Callable[[T], Key]) -> Page[T]:
    """The page of a list that is at hand, in the order of `key`."""
    rest = sorted((item for item in items if request.after is None or key(item) > request.after), key=key)
    return first_page(rest, request, key)


def first_page(rest: Sequence[T], request: PageRequest, key: Callable[[T], Key]) -> Page[T]:
    """The page that a list begins with, of which all items after `request.after`, or at least `size + 1`, are at hand in order."""
    page = rest[: request.size]
    return Page(page, request.token_after(key(page[-1])) if len(rest) > request.size else "")


def _key_in(token: str, bound: str) -> Key | None:
    try:
        bound_to, *key = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, RecursionError):
        return None
    return tuple(map(str, key)) if bound_to == bound else None
