"""How many runs are active and how many of them wait for a slot, as the engine lists them: a moment late."""

from dataclasses import dataclass

from temporalio.client import Client

from pipeline_service.gate_messages import WaitingRuns
from pipeline_service.temporal_calls import CALL_TIMEOUT, decode, engine_call, running
from pipeline_service.temporal_names import GATE_WORKFLOW, QUEUE_MEMO, RUN_WORKFLOW, gate_id


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Runs of all tenants: those that have not ended, and of these those that wait at their tenants' gates."""

    active: int
    waiting: int


class TemporalRunCounter:
    """Counts the runs of one task queue, which are those of one installation."""

    def __init__(self, client: Client, *, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def count(self) -> RunCounts:
        """Two requests, and one more for each further page of tenants with active runs. Raises Unavailable, DependencyRefused."""
        query = f"ExecutionStatus = 'Running' AND TaskQueue = '{self._task_queue}' AND WorkflowType = '{RUN_WORKFLOW}'"
        async with engine_call():
            active = (await self._client.count_workflows(query, rpc_timeout=CALL_TIMEOUT)).count
        waiting = 0
        for gate in await running(self._client, gate_id(""), workflow_type=GATE_WORKFLOW):
            shown = gate.raw_info.memo.fields.get(QUEUE_MEMO)
            if gate.task_queue == self._task_queue and shown is not None:
                waiting += (await decode(self._client, shown, WaitingRuns)).length
        return RunCounts(active, waiting)
