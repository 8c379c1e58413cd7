"""TCP ports on 127.0.0.1: which are free, and a clear word about those that are not."""

import random
import socket
from collections.abc import Mapping

from local_stack.errors import StackError

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000
"""Where free ports are looked for: below the range from which Linux takes the ports of outgoing connections, so that none of those can
take a port while its server restarts."""


def is_free(port: int) -> bool:
    """Whether nothing listens on the port. A server's SO_REUSEPORT does not hide it: the probe does not set that option."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def assign(wanted: Mapping[str, int]) -> dict[str, int]:
    """A port for each part: the one wanted, or a free one where 0 is. Raises StackError that names every one that is taken."""
    fixed = [port for port in wanted.values() if port]
    problems = [
        f"port {port} ({name}) is in use on {HOST}" for name, port in wanted.items() if port and not is_free(port)
    ] + [f"port {port} is asked for twice" for port in sorted({port for port in fixed if fixed.count(port) > 1})]
    if problems:
        raise StackError("; ".join(problems))
    assigned = dict(wanted)
    for name, port in wanted.items():
        assigned[name] = port or _free(set(assigned.values()))
    return assigned


def _free(taken: set[int]) -> int:
    candidates = [port for port in range(LOWEST, HIGHEST) if port not in taken]
    random.shuffle(candidates)
    for port in candidates:
        if is_free(port):
            return port
    raise StackError(f"no free port between {LOWEST} and {HIGHEST}")
