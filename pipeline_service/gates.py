"""What gates ask of the run engine. `temporal_gates.py` is its one adapter."""

from dataclasses import dataclass
from typing import Protocol

from pipeline_service.budget_messages import DayUse
from pipeline_service.gate_messages import GateSignal, GateState, SlotRequest


@dataclass(frozen=True, slots=True)
class LastGate:
    """A gate: whether it was ended before its time, and what it knows of the bytes of a day; None where none were reserved yet."""

    was_broken: bool = False
    day: DayUse | None = None


class Gates(Protocol):
    """Asks, tells and opens gates, lets runs begin, and says how they end. Every method raises Unavailable when the engine is away."""

    async def last(self, tenant_id: str) -> LastGate:
        """What the tenant's last gate shows, whether or not it is still there."""
        ...

    async def tell(self, knock: GateSignal) -> bool:
        """Deliver a message to the tenant's gate: False where there is none."""
        ...

    async def ask(self, knock: GateSignal) -> bool | None:
        """Ask the tenant's gate for a slot: whether it is given at once. None where nobody says so, though it may be given all the same:
        there is no gate, none that answers, or none in time."""
        ...

    async def let_begin(self, asking: SlotRequest) -> bool:
        """Let a run that was started a moment ago begin, which so hears whether it `holds` a slot: False where it has ended."""
        ...

    async def open(self, state: GateState, knock: GateSignal) -> None:
        """Deliver a message to the tenant's gate, opening it with `state` where there is none."""
        ...

    async def gone(self, holders: tuple[SlotRequest, ...]) -> tuple[str, ...]:
        """Which of these runs the engine has as ended, or no more: their engine run ids, in order."""
        ...

    async def survey(self, tenant_id: str) -> tuple[SlotRequest, ...]:
        """The tenant's runs that the engine lists, each of them asked to report to the gate."""
        ...
