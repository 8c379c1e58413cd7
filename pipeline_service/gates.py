"""What gates ask of the run engine. `temporal_gates.py` is its one adapter."""

from typing import Protocol

from pipeline_service.gate_messages import Asking, GateState, Knock


class Gates(Protocol):
    """Opens gates, and tells what becomes of runs. Every method raises Unavailable when the engine is away."""

    async def was_broken(self, tenant_id: str) -> bool:
        """Whether the tenant's last gate was ended before its time."""
        ...

    async def open(self, state: GateState, knock: Knock) -> None:
        """Deliver a message to the tenant's gate, opening it with `state` where there is none."""
        ...

    async def gone(self, holders: tuple[Asking, ...]) -> tuple[str, ...]:
        """Which of these runs the engine has as ended, or no more: their engine run ids, in order."""
        ...

    async def survey(self, tenant_id: str) -> tuple[Asking, ...]:
        """The tenant's runs that the engine lists, each of them asked to report to the gate."""
        ...
