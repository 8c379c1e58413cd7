"""How large the rounds are: short in CI, full by `make chaos`, the same each time for one SEED."""

import os
import random

FULL = os.environ.get("CONVERGENCE_CHAOS_FULL") == "1"
SEED = int(os.environ.get("CONVERGENCE_CHAOS_SEED", "1"))
CALLS_PER_SECOND = float(os.environ.get("CONVERGENCE_CHAOS_CALLS", "200" if FULL else "30"))
"""What the callers of a rolling restart offer."""


def rounds(short: int) -> int:
    """How many rounds: `short` in CI."""
    return int(os.environ.get("CONVERGENCE_CHAOS_ROUNDS", str(short)))


def chance(*names: object) -> random.Random:
    """The chance of one round, fixed by SEED and the names."""
    return random.Random("/".join(map(str, (SEED, *names))))
