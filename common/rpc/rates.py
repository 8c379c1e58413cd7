"""How often something may happen, by name: a token bucket each, kept as one number."""

from collections import OrderedDict

_ROUNDING_SECONDS = 1e-6


class TokenBuckets:
    """A bucket for each name holds `burst` tokens and gains `per_second` of them. Memory: the names of the last `burst / per_second`
    seconds, since a bucket that is full again is as good as none.

    Of each the moment is kept at which it would be full (the generic cell rate algorithm, ITU-T I.371).
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._slack = (burst - 1) * self._interval
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, name: str, now: float) -> float:
        """After how long a token can be had; 0 where there is one at `now`, in seconds of any clock that never runs backwards."""
        wait = self._full_at.get(name, now) - now - self._slack
        return wait if wait > _ROUNDING_SECONDS else 0.0

    def take(self, name: str, now: float) -> None:
        """Take a token that there is."""
        self._full_at[name] = max(self._full_at.get(name, now), now) + self._interval
        self._full_at.move_to_end(name)
        while (first := next(iter(self._full_at))) != name and self._full_at[first] <= now:
            del self._full_at[first]

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._full_at)
