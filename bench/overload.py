"""Far more calls at once than a service takes on: it refuses what is too much, says so, goes on, and gives the memory back."""

import asyncio
from collections import Counter
from typing import Any

import grpc

from bench.report import Growth
from bench.rounds import Rounds
from bench.stack import Stack, Tenant
from convergence.pipeline.v1.pipeline_service_pb2 import GetRunRequest, ListTemplatesRequest

BOUND = 1.2
CALLS_OF_A_KEY = 500
"""In one burst, so that it is the server that is full and not a key that is used too often."""
BURSTS = 3
_WARM_CALLS = 200
_NEVER = "00000000-0000-8000-8000-000000000000"


async def measure(stack: Stack, rounds: Rounds) -> Growth:
    """Each call asks the run engine. The bursts come one after another; memory is read when all is quiet."""
    tenants = [await stack.onboard(f"overload_{number}") for number in range(max(1, rounds.burst // CALLS_OF_A_KEY))]
    await _burst(stack, tenants, _WARM_CALLS)
    before = stack.resident_megabytes("pipeline_service")
    codes: Counter[str] = Counter()
    for _ in range(BURSTS):
        codes += await _burst(stack, tenants, rounds.burst)
    assert codes.keys() <= {"NOT_FOUND", "RESOURCE_EXHAUSTED"}, codes
    assert codes["NOT_FOUND"], codes
    await stack.pipelines.ListTemplates(ListTemplatesRequest(), **tenants[0].call)
    return Growth(
        f"{BURSTS} x {rounds.burst:,} calls at once: memory after / before",
        stack.resident_megabytes("pipeline_service"),
        before,
        BOUND,
    )


async def _burst(stack: Stack, tenants: list[Tenant], number: int) -> Counter[str]:
    """So many calls at once; their codes."""
    request = GetRunRequest(pipeline_logging_id=_NEVER)

    async def one(tenant: Tenant) -> str:
        call: Any = stack.pipelines.GetRun(request, **tenant.call)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    return Counter(await asyncio.gather(*(one(tenants[n % len(tenants)]) for n in range(number))))
