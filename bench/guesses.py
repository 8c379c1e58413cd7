"""`python -m bench.guesses ADDRESS TENANT_ID COUNT`: calls PipelineService with keys that nobody has, 500 a second, every other one in the
name of that tenant and the others in the names of 1,000 that are not. Prints how they ended, as JSON."""

import asyncio
import json
import sys
import time
from collections import Counter

import grpc

from bench.stack import CALL_SECONDS
from common.api_keys.key import mint
from convergence.pipeline.v1.pipeline_service_pb2 import ListTemplatesRequest
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from local_stack.api_client import CHANNEL_OPTIONS

GUESSES_A_SECOND = 500
UNKNOWN_TENANTS = 1000


async def guess(address: str, tenant_id: str, count: int) -> Counter[str]:
    """Make `count` guesses at an even pace; their codes."""
    codes: Counter[str] = Counter()
    began = time.monotonic()
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel, asyncio.TaskGroup() as tasks:
        stub = PipelineServiceStub(channel)

        async def one(name: str) -> None:
            metadata = (("x-api-key", mint(name).reveal()),)
            try:
                await stub.ListTemplates(ListTemplatesRequest(), metadata=metadata, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1

        for number in range(count):
            tasks.create_task(one(tenant_id if number % 2 else f"unknown_{number // 2 % UNKNOWN_TENANTS}"))
            await asyncio.sleep(began + number / GUESSES_A_SECOND - time.monotonic())
    return codes


if __name__ == "__main__":
    print(json.dumps(asyncio.run(guess(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
