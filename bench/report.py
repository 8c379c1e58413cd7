"""What was measured, and whether it keeps its bound: one line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WIDTH = 54
HEADER = f"{'':{WIDTH}} {'median A':>10} {'median B':>10} {'A / B':>7} {'bound':>7}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Seconds that A and B took, measured in turn. Without a `bound` it is for information."""

    name: str
    a: Sequence[float]
    b: Sequence[float]
    bound: float | None = None

    @property
    def value(self) -> float:
        """How many times B's median is in A's."""
        return median(self.a) / median(self.b)

    @property
    def holds(self) -> bool:
        """Whether it keeps its bound."""
        return self.bound is None or self.value <= self.bound

    def __str__(self) -> str:
        bound = "-" if self.bound is None else f"{self.bound:.1f}x"
        return _columns(self.name, _time(median(self.a)), _time(median(self.b)), f"{self.value:.2f}x", bound)


@dataclass(frozen=True, slots=True)
class Size:
    """Memory, in MB of 10^6 bytes. Without a `bound` it is for information."""

    name: str
    megabytes: float
    bound: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it keeps its bound."""
        return self.bound is None or self.megabytes < self.bound

    def __str__(self) -> str:
        bound = "-" if self.bound is None else f"{self.bound:.0f} MB"
        return _columns(self.name, f"{self.megabytes:.1f} MB", "-", "-", bound)


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory, in MB of 10^6 bytes, after something and before it."""

    name: str
    after: float
    before: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether it keeps its bound."""
        return self.after / self.before <= self.bound

    def __str__(self) -> str:
        ratio, bound = f"{self.after / self.before:.2f}x", f"{self.bound:.1f}x"
        return _columns(self.name, f"{self.after:.1f} MB", f"{self.before:.1f} MB", ratio, bound)


@dataclass(frozen=True, slots=True)
class Duration:
    """What one thing takes, in seconds."""

    name: str
    seconds: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether it keeps its bound."""
        return self.seconds < self.bound

    def __str__(self) -> str:
        return _columns(self.name, _time(self.seconds), "-", "-", _time(self.bound))


@dataclass(frozen=True, slots=True)
class Count:
    """A number of things. Without a `bound` it is for information."""

    name: str
    number: float
    bound: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it keeps its bound."""
        return self.bound is None or self.number <= self.bound

    def __str__(self) -> str:
        bound = "-" if self.bound is None else f"{self.bound:g}"
        return _columns(self.name, f"{self.number:.3g}", "-", "-", bound)


Finding = Ratio | Size | Growth | Duration | Count


def line(finding: Finding, *, judged: bool) -> str:
    """The finding and, where it is judged, the verdict."""
    if finding.bound is None:
        return f"{finding}  for information"
    return f"{finding}  {'not judged' if not judged else 'ok' if finding.holds else 'MISSED'}"


def _columns(name: str, a: str, b: str, ratio: str, bound: str) -> str:
    return f"{name:{WIDTH}} {a:>10} {b:>10} {ratio:>7} {bound:>7}"


def _time(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:.1f} us"
    return (
        f"{seconds:.3f} s"
        if seconds >= 1
        else f"{seconds * 1000:.1f} ms"
        if seconds >= 0.1
        else f"{seconds * 1000:.3f} ms"
    )
