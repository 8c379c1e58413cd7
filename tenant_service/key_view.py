"""What is told of a key: its row, where it stands at this moment, and its age against the rotation policy of the installation."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from common.api_keys.details import KeyDetails
from common.api_keys.record import KeyState
from common.clock import Clock


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key as it is told."""

    details: KeyDetails
    state: KeyState
    rotation_due_time: datetime
    rotation_overdue: bool


class RotationPolicy:
    """Wants another key in an active one's place once it is `max_age_days` old. It only tells: nothing is refused for it."""

    def __init__(self, *, max_age_days: int, clock: Clock) -> None:
        self._max_age = timedelta(days=max_age_days)
        self._clock = clock

    def view(self, details: KeyDetails) -> KeyView:
        """A key as it is now."""
        now = self._clock.now()
        state = details.record.state_at(now)
        due = details.create_time + self._max_age
        return KeyView(details, state, rotation_due_time=due, rotation_overdue=state == "ACTIVE" and due <= now)
