"""A tenant whose runs fill the queue delays another tenant's single run by no more than one step: told by events, not by time.

Every activity waits until it is let go, so that nothing moves but what the test moves. 40 runs in CI, 500 with `make chaos`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import PendingActivityState, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from common.for_each import for_each
from pipeline_service.activities import Activities
from pipeline_service.engine import Execution
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import GateSignal, SlotRequest
from pipeline_service.heartbeat import while_alive
from pipeline_service.run import Run, RunStatus
from pipeline_service.step_result import StepResult, StepTask
from pipeline_service.temporal_names import LEAVE_SIGNAL, STEP_ACTIVITY
from tests.chaos.sizes import FULL, chance
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step

QUEUED = 500 if FULL else 40
STEPS_OF_B = ("first", "second", "third")
PATIENCE_SECONDS = 600.0 if FULL else 120.0
AT_ONCE = 16
_WAITING = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED


@dataclass(eq=False)
class Executing:
    """What takes a slot: of which tenant, and what it is."""

    tenant_id: str
    what: str
    may_end: asyncio.Event = field(default_factory=asyncio.Event)


class Stepwise(Activities):
    """What these runs ask to have done, each in a slot of the worker until it is let go."""

    def __init__(self, door: GateDoor) -> None:
        """Of a worker's other activities, which no run here asks for, none would find what it needs."""
        self._door = door
        self.executing: list[Executing] = []
        """The one that began first at first."""
        self.changed = asyncio.Event()

    @activity.defn
    async def begin_run(self, run: Run) -> None:
        """Record nothing."""
        await self._execute(run.header.tenant_id, "begin")

    @activity.defn
    async def close_run(self, run: Run, asking: SlotRequest) -> None:
        """Record nothing."""
        await self._execute(run.header.tenant_id, "end")
        await self._door.tell(GateSignal(run.header.tenant_id, LEAVE_SIGNAL, asking))

    @activity.defn(name=STEP_ACTIVITY)
    async def run_step(self, task: StepTask) -> StepResult:
        """Do nothing."""
        await self._execute(task.run.tenant_id, task.step.step_id)
        return StepResult(1)

    async def _execute(self, tenant_id: str, what: str) -> None:
        entry = Executing(tenant_id, what)
        self.executing.append(entry)
        self.changed.set()
        try:
            async with while_alive():
                await entry.may_end.wait()
        finally:
            self.executing.remove(entry)
            self.changed.set()

    def of(self, tenant_id: str) -> list[Executing]:
        """What is executing for a tenant."""
        return [entry for entry in self.executing if entry.tenant_id == tenant_id]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a change of what is executing that makes this true."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Turns:
    """A worker of few slots, a tenant A that fills its queue, and a tenant B."""

    def __init__(self, lab: Lab, slots: int) -> None:
        self.steps = Stepwise(lab.door)
        self.engine = lab.engine
        self.slots = slots
        self.a, self.b = (f"t{uuid.uuid4().hex[:12]}" for _ in range(2))
        self._client = lab.client
        self._task_queue = lab.task_queue

    async def fill(self) -> None:
        """Queue A's runs, until A has every slot and all others of its runs wait for one."""

        async def start(number: int) -> None:
            wanted = plan(self.a, query_step(self.a, "only"), number=str(number))
            await self.engine.start(wanted.workflow_id, wanted)

        await for_each(range(QUEUED), start, at_once=AT_ONCE)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._backlog() < QUEUED - self.slots:  # noqa: ASYNC110 - the engine says when it says
                await asyncio.sleep(0.05)
        await self.until_full()

    async def start_b(self) -> Execution:
        """B's only run, of steps that follow each other."""
        after = [(), *((step_id,) for step_id in STEPS_OF_B)]
        steps = (query_step(self.b, step_id, after=those) for step_id, those in zip(STEPS_OF_B, after, strict=False))
        wanted = plan(self.b, *steps)
        await self.engine.start(wanted.workflow_id, wanted)
        execution = await self.engine.describe(wanted.workflow_id)
        assert execution is not None
        return execution

    async def until_full(self) -> None:
        """Return once every slot is taken."""
        await self.steps.until(lambda: len(self.steps.executing) == self.slots)

    async def let_go(self, tenant_id: str) -> Executing:
        """Let what began first of a tenant's end, and wait until its slot is taken anew: what it was."""
        entry = self.steps.of(tenant_id)[0]
        entry.may_end.set()
        await self.steps.until(lambda: entry not in self.steps.executing)
        await self.until_full()
        return entry

    async def b_waits(self, execution: Execution) -> bool:
        """True once something of B's run waits for a slot; False where something of it has one, or the run has ended."""
        run = self._client.get_workflow_handle(execution.workflow_id, run_id=execution.engine_run_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.steps.of(self.b):
                described = await run.describe()
                if described.close_time is not None:
                    return False
                if any(pending.state == _WAITING for pending in described.raw_description.pending_activities):
                    return not self.steps.of(self.b)
                await asyncio.sleep(0.01)
        return False

    async def _backlog(self) -> int:
        """How many activities wait for a slot, as far as the engine has counted."""
        request = DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=self._task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
        return (await self._client.workflow_service.describe_task_queue(request)).stats.approximate_backlog_count


@pytest.fixture
async def turns(lab: Lab) -> AsyncIterator[Turns]:
    turns = Turns(lab, slots=chance("turns").randint(2, 4))
    async with lab.worker(slots=turns.slots, activities=turns.steps):
        yield turns


@pytest.mark.timeout(1800 if FULL else 600)
async def test_a_tenant_with_a_full_queue_delays_anothers_run_by_no_more_than_one_step(turns: Turns) -> None:
    await turns.fill()
    for _ in range(chance("turns", "moment").randrange(2 * turns.slots)):
        await turns.let_go(turns.a)
    execution = await turns.start_b()
    done: list[str] = []
    while True:
        if await turns.b_waits(execution):
            already_executing = list(turns.steps.executing)
            while not turns.steps.of(turns.b):
                ended_first = await turns.let_go(turns.a)
                assert ended_first in already_executing, (
                    "another step of A had its turn, from begin to end, while B waited"
                )
        elif turns.steps.of(turns.b):
            done.append((await turns.let_go(turns.b)).what)
        else:
            break
    ended = await turns.engine.describe(execution.workflow_id)
    assert ended is not None
    assert ended.run.state.status is RunStatus.COMPLETE
    assert sorted(done) == sorted(["begin", *STEPS_OF_B, "end"])
    assert len(turns.steps.of(turns.a)) == turns.slots, "all the while A had work for every slot"
