"""What was measured, and whether it keeps its bound: one line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WIDTH = 52
HEADER = f"{'':{WIDTH}} {'median A':>10} {'median B':>10} {'ratio':>7} {'bound':>7}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Seconds that A and B took, measured in turn. Without a `bound` it is shown for information."""

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
        bound = f"{self.bound:.1f}x" if self.bound else "-"
        figures = f"{_time(median(self.a)):>10} {_time(median(self.b)):>10} {self.value:>6.2f}x {bound:>7}"
        return f"{self.name:{WIDTH}} {figures}  {_verdict(self.bound, self.holds)}"


@dataclass(frozen=True, slots=True)
class Size:
    """Memory, in MB of 10^6 bytes. Without a `bound` it is shown for information."""

    name: str
    megabytes: float
    bound: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it keeps its bound."""
        return self.bound is None or self.megabytes < self.bound

    def __str__(self) -> str:
        bound = f"{self.bound:.0f} MB" if self.bound else "-"
        figures = f"{f'{self.megabytes:.1f} MB':>10} {'-':>10} {'-':>7} {bound:>7}"
        return f"{self.name:{WIDTH}} {figures}  {_verdict(self.bound, self.holds)}"


Finding = Ratio | Size


def _time(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1000:.3f} ms"


def _verdict(bound: float | None, holds: bool) -> str:
    return "for information" if bound is None else "ok" if holds else "MISSED"
