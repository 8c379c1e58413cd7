"""How often a cache had what was looked for."""

from dataclasses import dataclass


@dataclass(slots=True)
class Lookups:
    """Counts, from the start of the process on."""

    hits: int = 0
    misses: int = 0

    def note(self, *, hit: bool) -> None:
        """Count one: a hit was answered at once, without a read."""
        if hit:
            self.hits += 1
        else:
            self.misses += 1
