"""Small statements that run exactly once, under job ids that say what for."""

from common.clock import Clock
from common.warehouse.attempts import run_once
from common.warehouse.warehouse import JobResult, QueryJob, Statement, Warehouse

_DEADLINE_SECONDS = 30.0
_MAX_ATTEMPTS = 1000
"""Over the life of an effect, not of a call: the deadline bounds a call."""


class Effects:
    """Runs a statement once per id, whoever asks and however often."""

    def __init__(self, warehouse: Warehouse, clock: Clock) -> None:
        self._warehouse = warehouse
        self._clock = clock

    async def run(self, effect_id: str, statement: Statement) -> JobResult:
        """Run `statement`, or attach to its run. Raises Terminal, Transient (after 30 s at most); calling again is safe, and runs it anew
        where it failed: an id outlives whatever an operator has to mend first."""
        return await run_once(
            self._warehouse,
            lambda attempt: QueryJob(f"{effect_id}_{attempt}", statement),
            deadline_seconds=_DEADLINE_SECONDS,
            max_attempts=_MAX_ATTEMPTS,
            clock=self._clock,
            leaves_job=lambda: True,  # a caller who hangs up must not use up the id: the next one attaches
            outlives_refusals=True,
        )
