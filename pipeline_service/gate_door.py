"""How word of a run comes to its tenant's gate from outside of workflows: to the one that is there, or to one that is opened for it."""

from dataclasses import replace

from pipeline_service.gate_messages import GateSignal, GateState, Limits
from pipeline_service.gates import Gates
from pipeline_service.temporal_names import LEAVE_SIGNAL


class GateDoor:
    """Asks gates for slots, tells them, and opens them."""

    def __init__(self, gates: Gates, limits: Limits) -> None:
        """`limits` are what a new gate begins with."""
        self._gates = gates
        self._limits = limits

    async def ask(self, knock: GateSignal) -> None:
        """Ask for a run's slot, and let the run begin, which so hears whether it was given at once: later the gate tells it. A run whose
        gate has not answered hears nothing: it begins, and asks, by itself. A gate that is asked again, because nobody heard its answer
        or told the run of it, tells the run by itself. Raises Unavailable when the engine is away."""
        is_given = await self._gates.ask(knock)
        if is_given is None and not await self._gates.tell(knock):
            await self.open(knock)
            is_given = await self._gates.ask(knock)  # by its signal a gate tells only a run that has begun
        if is_given is None:
            return
        asking = replace(knock.asking, holds=is_given)
        if not await self._gates.let_begin(asking) and asking.holds:
            await self.tell(replace(knock, signal=LEAVE_SIGNAL))

    async def tell(self, knock: GateSignal) -> None:
        """Deliver a message. Saying it again changes nothing. Raises Unavailable when the engine is away."""
        if not await self._gates.tell(knock):
            await self.open(knock)

    async def open(self, knock: GateSignal) -> None:
        """Deliver a message to a gate that was not there a moment ago, and open it where there is still none. Raises Unavailable."""
        last = await self._gates.last(knock.tenant_id)
        await self._gates.open(GateState(knock.tenant_id, self._limits, last.was_broken, day=last.day), knock)
