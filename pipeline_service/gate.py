"""The workflow that hands a tenant's slots to its runs, one for each tenant. Opened by the first run that finds none; closes when idle.

It learns of everything by signals, keeps no promise that it has not sent, and asks the world only where a run has waited.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from pipeline_service.gate_activities import ATTEMPT, HEARTBEAT_TIMEOUT, UNTIL_DONE, GateActivities
    from pipeline_service.gate_messages import Asking, GateState, WaitingRuns, Watch
    from pipeline_service.slots import Slots
    from pipeline_service.temporal_names import ASK_SIGNAL, GATE_WORKFLOW, GRANT_SIGNAL, LEAVE_SIGNAL, QUEUE_MEMO

MAX_EVENTS = 500
"""Events after which a gate goes on under a new history."""
SHOWN = 1000
"""Waiting runs whose place can be read."""
KNOWN_FOR = timedelta(seconds=2)
"""How long it counts that a tenant was seen to be ready: by a look, or by RunTemplate as it accepted a run."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(seconds=15)
"""Between looks while runs wait: growing as long as looks find nothing new."""
LIMITS_KNOWN_FOR = timedelta(minutes=1)
"""How long a change of the settings may go unnoticed while no run waits."""
LAST_BREATH = timedelta(seconds=3)
"""How long the steps of a run that was ended by hand may go on: they hear of it with their next heartbeat."""
SETTLE = timedelta(seconds=3)
"""How long the engine may take to list a run that has begun."""


@workflow.defn(name=GATE_WORKFLOW)
class TenantGate:
    """One tenant's gate."""

    @workflow.init
    def __init__(self, state: GateState) -> None:
        self._tenant_id = state.tenant_id
        self._slots = Slots(state.limits, holders=state.holders, waiting=state.waiting, unconfirmed=state.unconfirmed)
        self._idle = timedelta(seconds=state.idle_seconds)
        self._may_start = True
        # What was known before is not told: a gate that begins with waiting runs looks first.
        self._looked_at = workflow.now() - (LIMITS_KNOWN_FOR if state.waiting else timedelta(0))
        self._pause = FIRST_PAUSE
        self._missing: dict[str, datetime] = {}
        self._shown = WaitingRuns()
        self._has_news = True

    @workflow.run
    async def run(self, state: GateState) -> None:
        """Serve until idle."""
        if state.follows_a_break:
            await self._learn()
        while True:
            self._has_news = False
            await self._serve()
            info = workflow.info()
            if info.get_current_history_length() >= MAX_EVENTS or info.is_continue_as_new_suggested():
                workflow.continue_as_new(self._state())
            if await self._hears_nothing() and not self._slots.waiting:
                await self._look()
                if not self._slots.holders and not self._has_news:
                    return

    @workflow.signal(name=ASK_SIGNAL)
    def ask(self, asking: Asking) -> None:
        """A run wants a slot, or says that it has one."""
        self._slots.enter(asking)
        self._has_news = True

    @workflow.signal(name=LEAVE_SIGNAL)
    def leave(self, asking: Asking) -> None:
        """A run wants its slot, or its place, no more."""
        self._slots.leave(asking.engine_run_id)
        self._has_news = True

    async def _learn(self) -> None:
        """Take all runs of the tenant for holders until they say what they are. Twice, since the engine lists a run late."""
        for pause in (timedelta(0), SETTLE):
            await workflow.sleep(pause)
            found = await workflow.execute_activity_method(
                GateActivities.survey_runs,
                self._tenant_id,
                start_to_close_timeout=ATTEMPT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=UNTIL_DONE,
            )
            for asking in found:
                self._slots.presume(asking)

    async def _serve(self) -> None:
        """Give every free slot away."""
        if self._has_to_look():
            await self._look()
        while self._may_start and (granted := self._slots.next()):
            for asking in granted:
                self._slots.hold(asking)
            await asyncio.gather(*map(self._grant, granted))
        queue = self._queue()
        if queue != self._shown:
            self._shown = queue
            workflow.upsert_memo({QUEUE_MEMO: queue})

    async def _grant(self, asking: Asking) -> None:
        """Tell a run that it holds a slot. One that has ended gives it back."""
        run = workflow.get_external_workflow_handle(asking.workflow_id, run_id=asking.engine_run_id)
        try:
            await run.signal(GRANT_SIGNAL)
        except FailureError:
            self._slots.leave(asking.engine_run_id)

    def _has_to_look(self) -> bool:
        now = workflow.now()
        age = now - self._looked_at
        if age >= LIMITS_KNOWN_FOR or (self._slots.waiting and age >= self._pause):
            return True
        return age >= KNOWN_FOR and any(now - asking.create_time >= KNOWN_FOR for asking in self._slots.next())

    async def _look(self) -> None:
        """See how the tenant stands, and whether the holders still run."""
        seen = await workflow.execute_activity_method(
            GateActivities.look,
            Watch(self._tenant_id, self._slots.holders),
            start_to_close_timeout=ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=UNTIL_DONE,
        )
        now = self._looked_at = workflow.now()
        self._missing = {run_id: self._missing.get(run_id, now) for run_id in seen.gone}
        is_new = seen.may_start != self._may_start or bool(self._missing)
        self._pause = FIRST_PAUSE if is_new else min(2 * self._pause, LONGEST_PAUSE)
        self._may_start, self._slots.limits = seen.may_start, seen.limits
        for run_id, since in self._missing.items():
            if now - since >= LAST_BREATH:
                self._slots.leave(run_id)

    async def _hears_nothing(self) -> bool:
        """Wait for news: False when there are some, True when a look is due."""
        wait = max(timedelta(0), self._looked_at + self._pause - workflow.now()) if self._slots.waiting else self._idle
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(lambda: self._has_news, timeout=wait)
        return not self._has_news

    def _queue(self) -> WaitingRuns:
        waiting = self._slots.waiting
        return WaitingRuns(tuple(asking.workflow_id.rsplit("/", 1)[1] for asking in waiting[:SHOWN]), len(waiting))

    def _state(self) -> GateState:
        slots = self._slots
        return GateState(
            self._tenant_id,
            slots.limits,
            holders=slots.holders,
            waiting=slots.waiting,
            unconfirmed=slots.unconfirmed,
            idle_seconds=self._idle.total_seconds(),
        )
