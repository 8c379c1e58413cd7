"""Fixtures that several folders use: the warehouses and the run engine."""

from tests.temporal import temporal_address  # noqa: F401
from tests.warehouses import connect, local_server, stub, warehouse  # noqa: F401
