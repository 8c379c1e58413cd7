"""How a run's state lies in its memo: one field, and of a backfill one more for each group of its days of which something is done, so that
a change moves only what it changes."""

from collections.abc import Mapping
from dataclasses import replace

from pipeline_service.backfill import untouched
from pipeline_service.run import RunState
from pipeline_service.temporal_names import STATE_MEMO, days_memo


def fields_of(state: RunState, shown: RunState | None = None) -> Mapping[str, RunState | str]:
    """The memo's fields that tell of the state; `shown` is what they told before."""
    backfill = state.backfill
    if backfill is None:
        return {STATE_MEMO: state}
    told = shown.backfill.groups if shown and shown.backfill else untouched(backfill.start_date, backfill.end_date)
    groups = {
        days_memo(number): group
        for number, (group, before) in enumerate(zip(backfill.groups, told, strict=True))
        if group != before
    }
    return {STATE_MEMO: replace(state, backfill=replace(backfill, groups=())), **groups}


def state_in(state: RunState, groups: Mapping[str, str]) -> RunState:
    """The state of which `state` is the first field and `groups` are the others, by their names."""
    if state.backfill is None:
        return state
    begin = untouched(state.backfill.start_date, state.backfill.end_date)
    texts = tuple(groups.get(days_memo(number), group) for number, group in enumerate(begin))
    return replace(state, backfill=replace(state.backfill, groups=texts))
