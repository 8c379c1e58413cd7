"""The memory of each service while nobody calls it."""

from bench.report import Size
from bench.stack import Stack
from local_stack.parts import SERVICES

BOUND_MEGABYTES = 200.0


def measure(stack: Stack, when: str) -> tuple[Size, ...]:
    """As the services stand at this moment."""
    return tuple(
        Size(f"idle memory of {name}, {when}", stack.resident_megabytes(name), BOUND_MEGABYTES) for name in SERVICES
    )
