"""`python -m bench.intercepted_server [RECEIVER]`: a server of ours, with every interceptor, whose ListTemplates answers at once.

Prints its port and a key. Calls are logged as in production, to stderr, told to a receiver of OTLP where one is named, `host:port`, and
limited to more than anybody can call.
"""

import asyncio
import contextlib
import sys
from typing import Any

from bench.many_keys import ManyKeys, verifier_over
from common import logs
from common.clock import SystemClock
from common.rpc.server import Server
from common.rpc.settings import ServerSettings
from common.telemetry.open import open_telemetry
from common.telemetry.settings import TelemetrySettings
from common.telemetry.telemetry import Telemetry
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import (
    PipelineServiceServicer,
    add_PipelineServiceServicer_to_server,
)

SERVICE = "convergence.pipeline.v1.PipelineService"
METHOD = f"/{SERVICE}/ListTemplates"


class _Servicer(PipelineServiceServicer):
    async def ListTemplates(self, request: Any, context: Any) -> pb2.ListTemplatesResponse:  # noqa: ARG002, N802
        return pb2.ListTemplatesResponse()


async def serve(receiver: str | None) -> None:
    """Serve until killed."""
    async with open_telemetry(TelemetrySettings(_env_file=None, otlp_endpoint=receiver), service="bench") as telemetry:
        await _serve(telemetry)


async def _serve(telemetry: Telemetry | None) -> None:
    servicer: Any = _Servicer()  # type: ignore[abstract]
    keys = ManyKeys(1)
    settings = ServerSettings(
        _env_file=None,
        listen_address="127.0.0.1:0",
        calls_per_second_per_key=100_000.0,
        calls_per_second_per_tenant=100_000.0,
    )
    server = Server(
        settings,
        services={SERVICE: lambda registry: add_PipelineServiceServicer_to_server(servicer, registry)},
        authenticator=verifier_over(keys),
        dependencies={},
        beside=contextlib.nullcontext(),
        clock=SystemClock(),
        telemetry=telemetry,
    )
    await server.start()
    print(server.port, list(keys.keys())[-1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logs.configure(output="json")
    asyncio.run(serve(sys.argv[1] if sys.argv[1:] else None))
