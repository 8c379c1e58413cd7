"""TenantService before several replicas of PipelineService."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc

from tenant_service.bootstrap import pipeline_channel
from tenant_service.settings import TenantServiceSettings

SECONDS = 30.0


@asynccontextmanager
async def replica(name: str, called: Counter[str]) -> AsyncIterator[str]:
    """A server that counts its calls; yields its address."""

    async def serve(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        called[name] += 1
        return request

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers: dict[str, Any] = {"Call": grpc.unary_unary_rpc_method_handler(serve)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("replica", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_every_address_behind_the_name_is_called() -> None:
    called: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(replica(name, called)) for name in ("first", "second")]
        settings = TenantServiceSettings.model_construct(
            pipeline_service_address=f"ipv4:{','.join(addresses)}",  # as a name that resolves to both
            pipeline_service_tls=False,
        )
        channel = pipeline_channel(settings)
        stack.push_async_callback(channel.close)
        call: Any = channel.get().unary_unary("/replica/Call")
        async with asyncio.timeout(SECONDS):
            while len(called) < 2:
                await call(b"", wait_for_ready=True, timeout=SECONDS)
        before = Counter(called)
        for _ in range(10):
            await call(b"")
    assert called - before == {"first": 5, "second": 5}
