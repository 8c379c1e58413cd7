"""Workflows that an earlier release started go on under this code: their histories replay. Recorded by `record.py`."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.workflow import NondeterminismError

from pipeline_service.temporal_names import ASKED_SIGNAL
from tests.replay.recorded import HISTORIES, recorded_in, replay


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_JSON = _base64("json/plain")


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_history_of_an_earlier_release_replays(path: Path) -> None:
    await replay(recorded_in(path))


def test_every_kind_of_run_is_recorded() -> None:
    for release in {path.parent for path in HISTORIES}:
        recorded = {path.stem for path in release.iterdir()}
        assert recorded >= {"complete_run", "failed_run", "retried_run", "cancelled_run", "under_way_run"}
        assert recorded >= {"request_run", "request_request"}
    assert {"backfill_run", "backfill_backfill"} <= {path.stem for path in HISTORIES}, "since there are backfills"


@pytest.mark.parametrize("is_given", [True, False])
@pytest.mark.parametrize("name", ["complete_run", "failed_run", "under_way_run"])
async def test_a_run_that_a_later_starter_spoke_for_before_an_earlier_worker_began_it_replays(
    name: str, is_given: bool
) -> None:
    [path] = [path for path in HISTORIES if path.stem == name and path.parent.name == "0.1.0-spoken-for"]
    recorded = json.loads(path.read_text())
    begun, *others = map(_one_later, recorded["events"])
    begun["eventId"] = "1"
    run_id = begun["workflowExecutionStartedEventAttributes"]["originalExecutionRunId"]
    words = [{"metadata": {"encoding": _JSON}, "data": _base64(json.dumps(word))} for word in (run_id, is_given)]
    spoken = {"signalName": ASKED_SIGNAL, "input": {"payloads": words}, "identity": "starter"}
    told = {
        "eventId": "2",
        "eventTime": begun["eventTime"],
        "eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED",
        "workflowExecutionSignaledEventAttributes": spoken,
    }
    await replay(WorkflowHistory.from_json(recorded["workflow_id"], {"events": [begun, told, *others]}))


def _one_later(value: Any) -> Any:
    """An event, all of whose references to events are one higher."""
    if isinstance(value, list):
        return [_one_later(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: str(int(item) + 1) if name.endswith("EventId") or name == "eventId" else _one_later(item)
        for name, item in value.items()
    }


async def test_a_history_that_this_code_would_not_have_made_is_refused() -> None:
    history = recorded_in(next(path for path in HISTORIES if path.stem == "complete_run"))
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name == "run_step":
                scheduled.activity_type.name = "another_activity"
    with pytest.raises(NondeterminismError):
        await replay(history)
