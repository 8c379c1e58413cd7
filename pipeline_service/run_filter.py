"""Which of a tenant's runs are listed."""

from dataclasses import dataclass

from pipeline_service.run import RunStatus


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs, in which order. What is empty or None does not filter; the days are of the parameter `date`, inclusive."""

    provider: str = ""
    domain: str = ""
    template_name: str = ""
    status: RunStatus | None = None
    start_date: str = ""
    end_date: str = ""
    earliest_first: bool = False
