"""Workflows that an earlier release started go on under this code: their histories replay. Recorded by `record.py`."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from pipeline_service.temporal_payloads import DATA_CONVERTER
from pipeline_service.worker import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*/*.json"))


def recorded_in(path: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads(path.read_text())
    return recorded


async def replay(recorded: dict[str, Any]) -> None:
    history = WorkflowHistory.from_json(recorded["workflow_id"], recorded)
    await Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER).replay_workflow(history)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_history_of_an_earlier_release_replays(path: Path) -> None:
    await replay(recorded_in(path))


def test_every_kind_of_run_is_recorded() -> None:
    for release in {path.parent for path in HISTORIES}:
        recorded = {path.stem for path in release.iterdir()}
        assert recorded >= {"complete_run", "failed_run", "retried_run", "cancelled_run", "under_way_run"}
        assert recorded >= {"request_run", "request_request"}
    assert {"backfill_run", "backfill_backfill"} <= {path.stem for path in HISTORIES}, "since there are backfills"


async def test_a_history_that_this_code_would_not_have_made_is_refused() -> None:
    recorded = recorded_in(next(path for path in HISTORIES if path.stem == "complete_run"))
    for event in recorded["events"]:
        scheduled = event.get("activityTaskScheduledEventAttributes")
        if scheduled and scheduled["activityType"]["name"] == "run_step":
            scheduled["activityType"]["name"] = "another_activity"
    with pytest.raises(NondeterminismError):
        await replay(recorded)
