"""What was changed in the workflows of runs, by the names that their histories keep: one that began before goes on as it began.

Each name that a workflow asks for is two more events of its history, so that a run asks for the newest first, which implies the others.
"""

from temporalio import workflow

GATE, SPOKEN_FOR, BUDGET, HEEDS_CANCELLATION = "gate", "spoken-for", "budget", "heeds-cancellation"
BEGUN_WITH_STEP = "begun-with-step"
"""The activity of a run's first step records that it has begun."""
ENDED_WITH_STEP = "ended-with-step"
"""The activity of a run's last step records that it has ended."""
RECORDED_WITH_NEXT = "recorded-with-next"
"""The newest: the activity of a step adds the rows of those before it."""
_NEWEST_FIRST = (RECORDED_WITH_NEXT, ENDED_WITH_STEP, BEGUN_WITH_STEP)


def is_patched(change: str) -> bool:
    """Whether the workflow began, or came to this place, since this change or a later one."""
    later = _NEWEST_FIRST[: _NEWEST_FIRST.index(change)] if change in _NEWEST_FIRST else _NEWEST_FIRST
    return any(map(workflow.patched, (*later, change)))
