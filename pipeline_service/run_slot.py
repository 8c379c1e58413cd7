"""A run's side of its tenant's gate: asks for a slot, waits for it, gives it back. Runs inside the run's workflow.

Who starts a run asks for it, and the activity that records its end gives its slot back, which takes fewer hops than signals from within.
The run itself says what they may have failed to say.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from pipeline_service.activity_options import ATTEMPT, HEARTBEAT_TIMEOUT, UNTIL_DONE
    from pipeline_service.budget_messages import UsageReport
    from pipeline_service.gate_activities import GateActivities
    from pipeline_service.gate_messages import GateSignal, SlotRequest
    from pipeline_service.plan import Plan
    from pipeline_service.temporal_names import ACCOUNT_SIGNAL, ASK_SIGNAL, LEAVE_SIGNAL, gate_id

SPOKEN_FOR_PAUSE = timedelta(seconds=1)
"""Before a run takes itself for one that waits, and asks though it should have been asked for: its starter may have died in between."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=1)
"""Before a waiting run asks again, in case its gate was ended by hand: after as long as it has waited already. A gate that has lost its
memory asks its runs by itself, but somebody has to open it."""


class RunSlot:
    """One run's slot."""

    def __init__(self, plan: Plan) -> None:
        info = workflow.info()
        self._tenant_id = plan.header.tenant_id
        self._asking = SlotRequest(
            info.workflow_id,
            info.run_id,
            info.workflow_start_time,
            plan.header.pipeline_id,
            plan.max_active_runs,
        )
        self._has_asked = False
        self._has_left = False
        self._is_asked_for = False
        self._is_given_at_once: bool | None = None
        self._one_at_a_time = asyncio.Lock()

    def grant(self) -> None:
        """The gate has given the run a slot."""
        self._asking = replace(self._asking, holds=True)

    def hear_of_asking(self, *, is_given: bool) -> None:
        """Who started the run has asked the gate for a slot, which it has, or waits for."""
        self._is_asked_for = True
        if is_given:
            self.grant()

    @property
    def asking(self) -> SlotRequest:
        """What the run wants, or has."""
        return self._asking

    @property
    def is_given_at_once(self) -> bool | None:
        """Whether the run was given its slot before it was taken for one that waits; None until that is known."""
        return self._is_given_at_once

    async def enter(self, *, is_spoken_for: bool) -> None:
        """Return once the run holds a slot; `is_spoken_for` says that somebody else should have asked for it. Raises CancelledError."""
        self._has_asked = True
        if is_spoken_for:
            await self._hear(SPOKEN_FOR_PAUSE, or_of_asking=True)
            self._is_given_at_once = self._asking.holds
            if self._is_asked_for:
                await self._hear(FIRST_PAUSE)
        pause = FIRST_PAUSE
        while not self._asking.holds:
            await asyncio.shield(asyncio.create_task(self._tell(ASK_SIGNAL)))
            await self._hear(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def leave(self, *, is_spoken_for: bool) -> None:
        """Give back the slot, or the place in the queue; `is_spoken_for` says that somebody else has."""
        if self._has_asked:
            self._has_left = True
            if not is_spoken_for:
                await self._tell(LEAVE_SIGNAL)

    async def report(self) -> None:
        """Tell a gate that asks what the run holds. A run of a release without gates says nothing and counts until it has ended."""
        if self._has_left:
            await self._tell(LEAVE_SIGNAL)
        elif self._has_asked:
            await self._tell(ASK_SIGNAL)

    async def tell_account(self, account: UsageReport) -> None:
        """Tell the gate what the run bills."""
        await self._tell(ACCOUNT_SIGNAL, account)

    async def _hear(self, pause: timedelta, *, or_of_asking: bool = False) -> None:
        """Wait for the slot as long as that, or for word that it was asked for."""
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(
                lambda: self._asking.holds or (or_of_asking and self._is_asked_for), timeout=pause
            )

    async def _tell(self, signal: str, account: UsageReport | None = None) -> None:
        """Tell the gate, which is there afterwards. One message after the other, and never broken off: a signal under way cannot be."""
        async with self._one_at_a_time:
            try:
                gate = workflow.get_external_workflow_handle(gate_id(self._tenant_id))
                await gate.signal(signal, account or self._asking)
            except FailureError:
                await workflow.execute_activity_method(
                    GateActivities.open_gate,
                    GateSignal(self._tenant_id, signal, self._asking, account),
                    start_to_close_timeout=ATTEMPT,
                    heartbeat_timeout=HEARTBEAT_TIMEOUT,
                    retry_policy=UNTIL_DONE,
                )
