"""The slots of one tenant: who holds one, who waits, who is next. No time, no engine."""

from bisect import insort
from collections import Counter
from datetime import datetime

from pipeline_service.gate_messages import Limits, SlotRequest

MAX_WAITING = 5000
"""Runs that a queue takes; those beyond ask again by themselves, and have the place that their age gives them once there is room."""


class Slots:
    """Hands slots out in the order in which runs were accepted, but for runs whose template is at its limit, which later ones pass."""

    def __init__(
        self,
        limits: Limits,
        *,
        holders: tuple[SlotRequest, ...] = (),
        waiting: tuple[SlotRequest, ...] = (),
        unconfirmed: tuple[str, ...] = (),
    ) -> None:
        self.limits = limits
        self._holders = {asking.engine_run_id: asking for asking in holders}
        self._waiting = list(waiting)
        self._unconfirmed = set(unconfirmed)

    @property
    def holders(self) -> tuple[SlotRequest, ...]:
        """The runs that hold a slot, or are taken to."""
        return tuple(self._holders.values())

    @property
    def waiting(self) -> tuple[SlotRequest, ...]:
        """The runs that wait, the next first."""
        return tuple(self._waiting)

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """Holders that have not said so themselves."""
        return tuple(sorted(self._unconfirmed))

    def has_granted(self, engine_run_id: str) -> bool:
        """Whether a run was given a slot, or said that it has one, and has not left."""
        return engine_run_id in self._holders and engine_run_id not in self._unconfirmed

    def presume(self, asking: SlotRequest) -> None:
        """Take a run for a holder until it says what it is, or is found to have ended."""
        if asking.engine_run_id not in self._holders and not self._is_waiting(asking.engine_run_id):
            self._holders[asking.engine_run_id] = asking
            self._unconfirmed.add(asking.engine_run_id)

    def enter(self, asking: SlotRequest) -> None:
        """Take in what a run says: that it waits, or that it holds. Saying it again changes nothing; a run that says that it waits while it
        has just been given a slot keeps that."""
        run_id = asking.engine_run_id
        if self.has_granted(run_id):
            return
        if asking.holds:
            self.hold(asking)
        elif not self._is_waiting(run_id):
            self.leave(run_id)
            if len(self._waiting) < MAX_WAITING:
                insort(self._waiting, asking, key=_age)

    def hold(self, asking: SlotRequest) -> None:
        """Give a run a slot."""
        self.leave(asking.engine_run_id)
        self._holders[asking.engine_run_id] = asking

    def leave(self, engine_run_id: str) -> None:
        """Forget a run, whether it holds a slot or waits for one."""
        self._unconfirmed.discard(engine_run_id)
        if self._holders.pop(engine_run_id, None) is None:
            self._waiting = [asking for asking in self._waiting if asking.engine_run_id != engine_run_id]

    def next(self) -> list[SlotRequest]:
        """The waiting runs for which there are slots."""
        free = self.limits.per_tenant - len(self._holders)
        active = Counter(holder.pipeline_id for holder in self._holders.values())
        limits = self._limits_of_holders()
        found: list[SlotRequest] = []
        for asking in self._waiting:
            if len(found) >= free:
                break
            of_all = self.limits.per_template
            limit = min(of_all, asking.max_active_runs or of_all, limits.get(asking.pipeline_id, of_all))
            if active[asking.pipeline_id] < limit:
                active[asking.pipeline_id] += 1
                limits[asking.pipeline_id] = limit
                found.append(asking)
        return found

    def _limits_of_holders(self) -> dict[str, int]:
        """The lowest limit that holders of each template name: a template may have changed since some of them were accepted."""
        limits: dict[str, int] = {}
        for holder in self._holders.values():
            if holder.max_active_runs is not None:
                known = limits.get(holder.pipeline_id, holder.max_active_runs)
                limits[holder.pipeline_id] = min(known, holder.max_active_runs)
        return limits

    def _is_waiting(self, engine_run_id: str) -> bool:
        return any(asking.engine_run_id == engine_run_id for asking in self._waiting)


def _age(asking: SlotRequest) -> tuple[datetime, str]:
    return asking.create_time, asking.engine_run_id
