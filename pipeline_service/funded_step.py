"""A step of a run that has a budget, executed an attempt at a time: each may bill what was reserved for it, and no more.

An attempt that comes to a statement for which nothing is reserved ends, tells what that may bill, and is made again once it is reserved: it
finds the jobs that it has run by their ids. Runs inside the run's workflow.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from pipeline_service.failures import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, ended_of
    from pipeline_service.heed_cancellation import heed_cancellation
    from pipeline_service.run_funds import RunFunds
    from pipeline_service.step_result import Billed, NewestRow, StepDecision, StepResult
    from pipeline_service.steps.funds import READS

AnyOutcome = TypeVar("AnyOutcome", StepResult, StepDecision, NewestRow)
Attempting = Callable[[int, Mapping[str, int], int], Awaitable[AnyOutcome]]
"""Makes an attempt: by its number, what is reserved for it by purpose, and what it has read for before it asked for that."""


class FundedStep:
    """One activity of one step. What is reserved is settled when it ends, however it ends."""

    def __init__(self, funds: RunFunds, step_id: str, *, most_attempts: int) -> None:
        self._funds = funds
        self._step_id = step_id
        self._most_attempts = most_attempts
        self._granted: dict[str, int] = {}
        self._billed: dict[str, int] = {}
        """What is known of jobs that are not settled."""
        self._settled: set[str] = set()
        self._in_doubt: set[str] = set()
        """What was reserved for jobs that may have billed it, and of whose end nobody has told."""

    async def execute(self, attempt: Attempting[AnyOutcome]) -> AnyOutcome:
        """Make attempts, each an activity that takes its number and what is reserved for it, until one succeeds. Raises ActivityError once
        they are used up, StepOverBudget, CancelledError."""
        try:
            outcome = await self._succeed(attempt)
        except (Exception, asyncio.CancelledError):  # and not `finally`: a run that is put out of memory ends nothing
            self._settle_the_rest()
            raise
        self._settle_the_rest()
        return outcome

    async def _succeed(self, attempt: Attempting[AnyOutcome]) -> AnyOutcome:
        number, read_before = 1, 0
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                outcome = await attempt(number, dict(self._granted), read_before)
            except ActivityError as failure:
                ended = ended_of(failure)
                self._hear(ended.billed)
                if is_cancelled_exception(failure):
                    raise
                heed_cancellation()
                if ended.result is not None and ended.result.wanted:
                    self._settle_what_is_done(ended.result.billed)
                    read_before += ended.result.billed.bytes.get(READS, 0)
                    if READS in ended.result.wanted and READS in ended.result.billed.bytes:
                        # Beginning again: what was cut off may have been billed, and an outage must not use up the budget.
                        await asyncio.sleep(pause_seconds)
                        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
                    self._granted |= await self._funds.reserve(self._step_id, ended.result)
                    continue
                if not ended.may_repeat or number >= self._most_attempts:
                    raise
                await asyncio.sleep(ended.pause_seconds)
                number, read_before = number + 1, 0
            else:
                self._hear(outcome.billed)
                return outcome

    def _hear(self, billed: Billed | None) -> None:
        """Take in what an attempt tells of what it has billed; nothing, where it was lost: then its reads may have billed all that they
        could, while its jobs are found by the next. A job that has billed nothing may have been aborted, and the next attempt
        needs what is reserved for it."""
        if billed is None:
            self._in_doubt |= self._granted.keys()
            billed = Billed({READS: self._granted[READS]} if READS in self._granted else {})
        self._in_doubt |= set(billed.unsure)
        for purpose, size in billed.bytes.items():
            self._in_doubt.discard(purpose)
            self._billed[purpose] = size
            if purpose == READS:
                self._settle(READS, size)
                self._settled.discard(READS)
                del self._granted[READS]
            elif size:
                self._settle(purpose, size)

    def _settle_what_is_done(self, billed: Billed) -> None:
        """An attempt that wants more has seen its jobs through: what they did not bill must not keep that from it."""
        for purpose, size in billed.bytes.items():
            if purpose in self._granted:
                self._settle(purpose, size)

    def _settle_the_rest(self) -> None:
        for purpose, granted in self._granted.items():
            self._settle(purpose, granted if purpose in self._in_doubt else self._billed.get(purpose, 0))

    def _settle(self, purpose: str, size: int) -> None:
        if purpose not in self._settled:
            self._settled.add(purpose)
            self._funds.settle(self._step_id, purpose, size)
