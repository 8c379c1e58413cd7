"""The workflow that hands a tenant's slots to its runs, one for each tenant. Opened by the first run that finds none; closes when idle.

It learns of everything by signals, and by updates where its answer is waited for; keeps no promise that it has not sent, or answered; and
asks the world only where a run has waited.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from pipeline_service.activity_options import ATTEMPT, HEARTBEAT_TIMEOUT, UNTIL_DONE
    from pipeline_service.budget_messages import Funding, RunUse, UsageReport
    from pipeline_service.day_budget import DayBudget
    from pipeline_service.gate_activities import GateActivities
    from pipeline_service.gate_messages import GateState, SlotRequest, StandingQuery, WaitingRuns
    from pipeline_service.slots import Slots
    from pipeline_service.temporal_names import (
        ACCOUNT_SIGNAL,
        ASK_SIGNAL,
        ASK_UPDATE,
        DAY_MEMO,
        FUNDING_SIGNAL,
        GATE_WORKFLOW,
        GRANT_SIGNAL,
        LEAVE_SIGNAL,
        QUEUE_MEMO,
    )

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
REMEMBERED = 100
"""Runs that left last, whose asking is known to be stale where that comes later."""
_ANSWERS = "answers"
"""Since then a gate answers those who start runs, knows who has left, and tells a run again that asks although it was given a slot."""
_LETS_IN = "lets-in"
"""Since then a gate lets a run in for which there is a slot, however long ago its last look was: before, it looked first, as for one that
waits in vain."""
_RECALLS = "recall"
"""Since then a gate that no other has left anything of a day takes its use from the records."""


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
        self._day = DayBudget(state.limits.bytes_per_day, workflow.now().date(), state.day)
        self._day_shown = state.day
        self._shown = WaitingRuns()
        self._has_news = True
        self._is_open = False
        self._left = deque(state.left, maxlen=REMEMBERED)
        self._unheard: list[SlotRequest] = []

    @workflow.run
    async def run(self, state: GateState) -> None:
        """Serve until idle."""
        if await self._recalls() or state.follows_a_break:
            await self._learn()
            self._day.keep(asking.engine_run_id for asking in (*self._slots.holders, *self._slots.waiting))
        self._is_open = True
        while True:
            self._has_news = False
            await self._serve()
            info = workflow.info()
            is_long = info.get_current_history_length() >= MAX_EVENTS or info.is_continue_as_new_suggested()
            if is_long and not self._unheard:
                state = self._state()
                workflow.continue_as_new(state, memo={DAY_MEMO: state.day} if state.day else None)
            if await self._hears_nothing() and not self._somebody_waits:
                await self._look()
                if not self._slots.holders and not self._has_news:
                    return

    @workflow.signal(name=ASK_SIGNAL)
    def ask(self, asking: SlotRequest) -> None:
        """A run wants a slot, or says that it has one. One that has been given one may not have heard of it. Who asks for a run may have a
        clock that is ahead, and may be overtaken by its end."""
        run_id = asking.engine_run_id
        is_known = run_id in self._left or (not asking.holds and self._slots.has_granted(run_id))
        if not is_known or not workflow.patched(_ANSWERS):
            self._slots.enter(replace(asking, create_time=min(asking.create_time, workflow.now())))
        elif run_id not in self._left:
            self._unheard.append(asking)
        self._has_news = True

    @workflow.update(name=ASK_UPDATE)
    async def ask_and_answer(self, asking: SlotRequest) -> bool:
        """Who starts a run wants a slot for it. True where it has one now: who asked then tells the run, which otherwise this gate does."""
        answers = workflow.patched(_ANSWERS)
        if not self._is_open:
            await workflow.wait_condition(lambda: self._is_open)
        if self._slots.has_granted(asking.engine_run_id):
            return answers
        self.ask(asking)
        return answers and self._gives_at_once(asking.engine_run_id)

    @workflow.signal(name=LEAVE_SIGNAL)
    def leave(self, asking: SlotRequest) -> None:
        """A run wants its slot, or its place, no more."""
        self._forget(asking.engine_run_id)
        self._left.append(asking.engine_run_id)
        self._has_news = True

    @workflow.signal(name=ACCOUNT_SIGNAL)
    def account(self, account: UsageReport) -> None:
        """A run tells what it has billed, what it has reserved and what it wants to reserve."""
        self._day.tell(account)
        self._has_news = True

    def _gives_at_once(self, engine_run_id: str) -> bool:
        """Give a run that waits a slot where it would get one without a look, and others no later for it."""
        if not self._may_start or self._has_to_look():
            return False
        for asking in self._slots.next():
            if asking.engine_run_id == engine_run_id:
                self._slots.hold(asking)
                return True
        return False

    def _forget(self, engine_run_id: str) -> None:
        self._slots.leave(engine_run_id)
        self._day.close(engine_run_id)

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

    async def _recalls(self) -> bool:
        """Where no gate has left anything of a day, take its use from the records, and show it, so that no later gate has to. Says whether
        there was any: then the engine has forgotten a gate, and its runs have to be asked what they hold."""
        if self._day_shown is not None or self._day.limit is None or not workflow.patched(_RECALLS):
            return False
        used = await workflow.execute_activity_method(
            GateActivities.recall_day,
            self._tenant_id,
            start_to_close_timeout=ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=UNTIL_DONE,
        )
        self._day.recall(used)
        self._day_shown = self._day.use()
        workflow.upsert_memo({DAY_MEMO: self._day_shown})
        return used > 0

    async def _serve(self) -> None:
        """Give every free slot away."""
        if self._has_to_look():
            await self._look()
        while self._unheard:
            await self._grant(self._unheard.pop())
        while self._may_start and (granted := self._slots.next()):
            for asking in granted:
                self._slots.hold(asking)
            await asyncio.gather(*map(self._grant, granted))
        queue = self._queue()
        if queue != self._shown:
            self._shown = queue
            workflow.upsert_memo({QUEUE_MEMO: queue})
        await self._fund()

    async def _fund(self) -> None:
        """Decide on the bytes that runs want. What is decided is shown before anybody hears of it: the next gate goes on from what this
        one shows, however it ends."""
        self._day.begin(workflow.now().date())
        answers = self._day.next()
        if self._day.is_in_use and (use := self._day.use()) != self._day_shown:
            self._day_shown = use
            workflow.upsert_memo({DAY_MEMO: use})
        await asyncio.gather(*(self._tell_funding(*answer) for answer in answers))

    async def _tell_funding(self, run: RunUse, funding: Funding) -> None:
        """Tell a run what was decided. One that has ended is found out like any other holder."""
        with suppress(FailureError):
            handle = workflow.get_external_workflow_handle(run.workflow_id, run_id=run.engine_run_id)
            await handle.signal(FUNDING_SIGNAL, funding)

    async def _grant(self, asking: SlotRequest) -> None:
        """Tell a run that it holds a slot. One that has ended gives it back."""
        run = workflow.get_external_workflow_handle(asking.workflow_id, run_id=asking.engine_run_id)
        try:
            await run.signal(GRANT_SIGNAL)
        except FailureError:
            self._forget(asking.engine_run_id)

    def _has_to_look(self) -> bool:
        now = workflow.now()
        age = now - self._looked_at
        if age >= LIMITS_KNOWN_FOR:
            return True
        if self._somebody_waits and age >= self._pause and (self._waits_in_vain() or not workflow.patched(_LETS_IN)):
            return True
        return age >= KNOWN_FOR and any(now - asking.create_time >= KNOWN_FOR for asking in self._slots.next())

    async def _look(self) -> None:
        """See how the tenant stands, and whether the holders still run."""
        seen = await workflow.execute_activity_method(
            GateActivities.look,
            StandingQuery(self._tenant_id, self._slots.holders),
            start_to_close_timeout=ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=UNTIL_DONE,
        )
        now = self._looked_at = workflow.now()
        self._missing = {run_id: self._missing.get(run_id, now) for run_id in seen.gone}
        is_new = seen.may_start != self._may_start or bool(self._missing)
        self._pause = FIRST_PAUSE if is_new else min(2 * self._pause, LONGEST_PAUSE)
        self._may_start, self._slots.limits, self._day.limit = seen.may_start, seen.limits, seen.limits.bytes_per_day
        for run_id, since in self._missing.items():
            if now - since >= LAST_BREATH:
                self._forget(run_id)

    async def _hears_nothing(self) -> bool:
        """Wait for news: False when there are some, True when a look is due."""
        next_look = max(timedelta(0), self._looked_at + self._pause - workflow.now())
        wait = next_look if self._somebody_waits else self._idle
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(lambda: self._has_news, timeout=wait)
        return not self._has_news

    @property
    def _somebody_waits(self) -> bool:
        return bool(self._slots.waiting) or self._day.waits

    def _waits_in_vain(self) -> bool:
        """Whether somebody waits who gets nothing now."""
        slots = self._slots
        return self._day.waits or not self._may_start or len(slots.waiting) > len(slots.next())

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
            day=self._day.use() if self._day.is_in_use else self._day_shown,
            left=tuple(self._left),
        )
