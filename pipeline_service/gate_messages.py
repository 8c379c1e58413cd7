"""What runs and their tenant's gate tell each other. Plain frozen dataclasses, which the engine keeps."""

from dataclasses import dataclass
from datetime import datetime

from pipeline_service.budget_messages import DayUse, UsageReport


@dataclass(frozen=True, slots=True)
class Limits:
    """How many runs of a tenant may be active at once: in all, and of one template, which may want fewer. And how many bytes they may bill
    on one day, None for no limit."""

    per_tenant: int
    per_template: int
    bytes_per_day: int | None = None


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """A run that asks for a slot, or `holds` one. `max_active_runs` is its template's own limit, None where that names none."""

    workflow_id: str
    engine_run_id: str
    create_time: datetime
    pipeline_id: str
    max_active_runs: int | None = None
    holds: bool = False


@dataclass(frozen=True, slots=True)
class GateState:
    """What a gate begins with. `follows_a_break` says that somebody ended the one before: its runs have to be asked what they hold. It
    closes when it has had no run for `idle_seconds`. `day` is what is known of the bytes of the last day on which any were reserved, `left`
    which runs left last (their engine run ids)."""

    tenant_id: str
    limits: Limits
    follows_a_break: bool = False
    holders: tuple[SlotRequest, ...] = ()
    waiting: tuple[SlotRequest, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    idle_seconds: float = 600.0
    day: DayUse | None = None
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateSignal:
    """A message for a gate that is not there: the signal, and the run that sends it, or its account where it is about bytes."""

    tenant_id: str
    signal: str
    asking: SlotRequest
    account: UsageReport | None = None


@dataclass(frozen=True, slots=True)
class StandingQuery:
    """Of which tenant a gate wants to know how it stands, and which runs hold its slots."""

    tenant_id: str
    holders: tuple[SlotRequest, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a tenant stands: may its waiting runs start, which holders run no more (their engine run ids), and the limits as now set."""

    may_start: bool
    gone: tuple[str, ...]
    limits: Limits


@dataclass(frozen=True, slots=True)
class WaitingRuns:
    """A gate's queue as its memo has it: the last parts of the workflow ids of the first runs, in order, and the number of all. With whole
    ids it is the run engine's Queue."""

    first: tuple[str, ...] = ()
    length: int = 0
