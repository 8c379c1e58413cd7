"""Ids of spans that are known before their spans are told: that of a run, whose steps name it as their parent hours before it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_preset: ContextVar[int | None] = ContextVar("span_id", default=None)


@contextmanager
def preset_span_id(span_id: int) -> Iterator[None]:
    """Give the next span that is begun within this id, of 64 bits, not all of them 0."""
    token = _preset.set(span_id)
    try:
        yield
    finally:
        _preset.reset(token)


def next_span_id() -> int | None:
    """The id that the next span is to have; None for any."""
    return _preset.get()
