"""What is told while nobody knows who calls: a trace that a stranger names is kept where it would be had it begun here, and only there."""

from collections.abc import Callable
from contextvars import ContextVar

_is_unknown: ContextVar[Callable[[], bool] | None] = ContextVar("is_unknown", default=None)


def told_for_a_caller(is_unknown: Callable[[], bool]) -> None:
    """What is told from now on in this task, and in those that it begins, is told for a caller of whom `is_unknown` says whether they
    are still a stranger."""
    _is_unknown.set(is_unknown)


def told_for_a_stranger() -> bool:
    """Whether the span that ends now is. What no call has caused is not."""
    is_unknown = _is_unknown.get()
    return is_unknown is not None and is_unknown()
