"""What a workflow counts as changed, by what its history has of the changes."""

import pytest
from temporalio import workflow

from pipeline_service.patches import (
    BEGUN_WITH_STEP,
    ENDED_WITH_STEP,
    HEEDS_CANCELLATION,
    RECORDED_WITH_NEXT,
    SPOKEN_FOR,
    is_patched,
)

IN_ORDER = (HEEDS_CANCELLATION, BEGUN_WITH_STEP, ENDED_WITH_STEP, RECORDED_WITH_NEXT)


@pytest.mark.parametrize("known", [SPOKEN_FOR, *IN_ORDER])
def test_a_change_implies_those_before_it_and_none_after_it(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "patched", lambda change: change == known)
    implied = IN_ORDER[: IN_ORDER.index(known) + 1] if known in IN_ORDER else ()
    assert tuple(filter(is_patched, IN_ORDER)) == implied
