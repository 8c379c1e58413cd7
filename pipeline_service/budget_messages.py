"""What a run and its tenant's gate tell each other of bytes, and what a gate remembers of a day. Plain frozen dataclasses, which the engine
keeps."""

from dataclasses import dataclass, field

from pipeline_service.budget import UNLIMITED


@dataclass(frozen=True, slots=True)
class Reservation:
    """Bytes that a run wants to reserve under a key of its own, or `holds`: then it is just these. See budget.ReservationRequest."""

    key: str
    bytes: int
    takes_all: bool = False
    most: int = UNLIMITED
    holds: bool = False


@dataclass(frozen=True, slots=True)
class UsageReport:
    """All that a run has to say of the bytes that it bills: `used` of them were settled on `day` (UTC, YYYY-MM-DD), and `reservations` are
    those that are not settled yet. It stands in place of every account with a smaller `version`."""

    workflow_id: str
    engine_run_id: str
    version: int
    day: str
    used: int
    reservations: tuple[Reservation, ...] = ()


@dataclass(frozen=True, slots=True)
class Funding:
    """A gate's answer to one reservation: so many bytes, or, with None, too few were left of the day's."""

    key: str
    bytes: int | None
    left: int
    limit: int


@dataclass(frozen=True, slots=True)
class RunUse:
    """What a gate knows of one run's bytes. `used` are those of the day."""

    workflow_id: str
    engine_run_id: str
    version: int
    used: int
    reservations: tuple[Reservation, ...] = ()


@dataclass(frozen=True, slots=True)
class DayUse:
    """What a tenant has used of a day's bytes: `used` by runs that have ended, and what the others have used and reserved. The limit is the
    one that was set then. A gate shows it, and the next gate goes on from it, however the last one ended."""

    day: str
    limit: int
    used: int = 0
    runs: tuple[RunUse, ...] = field(default=())

    @property
    def billed(self) -> int:
        """Bytes that were billed on that day."""
        return self.used + sum(run.used for run in self.runs)

    @property
    def reserved(self) -> int:
        """Bytes that are reserved."""
        return sum(r.bytes for run in self.runs for r in run.reservations if r.holds)
