"""`python -m bench.echo_server`: a bare grpc.aio server that sends back what it gets. Prints its port."""

import asyncio
from typing import Any

import grpc

METHOD = "/bench.Echo/Echo"


async def serve() -> None:
    """Serve until killed."""

    async def echo(request: bytes, context: object) -> bytes:  # noqa: ARG001
        return request

    server = grpc.aio.server()
    _, service, method = METHOD.split("/")
    handler: Any = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
