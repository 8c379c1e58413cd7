"""Workflows that an earlier release started go on under this code: their histories replay. Recorded by `record.py`."""

from pathlib import Path

import pytest
from temporalio.workflow import NondeterminismError

from tests.replay.recorded import HISTORIES, recorded_in, replay


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
    history = recorded_in(next(path for path in HISTORIES if path.stem == "complete_run"))
    for event in history.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name == "run_step":
                scheduled.activity_type.name = "another_activity"
    with pytest.raises(NondeterminismError):
        await replay(history)
