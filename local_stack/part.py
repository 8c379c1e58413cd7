"""What the supervisor needs to know of a part of the stack."""

from collections.abc import Mapping
from dataclasses import dataclass

from local_stack.readiness import Probe


@dataclass(frozen=True, slots=True)
class Part:
    """A process. With `is_ready` it is a server, kept running; without, it does its work once and is ready when it ended well.

    `command` starts with an absolute path; `environment` is all that the process gets; `after` names the parts that must have been ready
    before its first start. `stop_seconds` is how long it may take to end after SIGTERM.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    is_ready: Probe | None = None
    after: tuple[str, ...] = ()
    stop_seconds: float = 10.0
