"""`python -m bench.otlp_server`: a receiver of OTLP that takes everything and looks at nothing. Prints its port."""

import asyncio
from typing import Any

import grpc

SERVICES = ("trace.v1.TraceService", "metrics.v1.MetricsService")


async def serve() -> None:
    """Serve until killed."""

    async def take(request: bytes, context: object) -> bytes:  # noqa: ARG001
        return b""

    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(take)
    for service in SERVICES:
        name = f"opentelemetry.proto.collector.{service}"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": handler}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
