"""Histories that earlier releases left in the engine, as `record.py` wrote them down, and how any history is replayed under this code."""

import json
from collections.abc import Sequence
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.worker import Interceptor, Replayer

from pipeline_service.temporal_payloads import DATA_CONVERTER
from pipeline_service.worker import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*/*.json"))


def recorded_in(path: Path) -> WorkflowHistory:
    """The history in one of these files."""
    recorded = json.loads(path.read_text())
    return WorkflowHistory.from_json(recorded["workflow_id"], recorded)


async def replay(history: WorkflowHistory, interceptors: Sequence[Interceptor] = ()) -> None:
    """Replay it under a worker with these interceptors. Raises NondeterminismError for one that this code would not have made."""
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, interceptors=interceptors)
    await replayer.replay_workflow(history)
