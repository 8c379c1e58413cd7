"""KMS emulators for tests: in this process for speed, in one of their own to be killed, and a fake that answers what a test wants."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.cloud.kms_v1 import (
    DecryptRequest,
    DecryptResponse,
    EncryptRequest,
    EncryptResponse,
    KeyManagementServiceAsyncClient,
)
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcAsyncIOTransport

from common.clock import Clock, SystemClock
from common.secret import Secret
from local_stack.kms.keys import Keys
from local_stack.kms.server import start
from local_stack.kms.servicer import SERVICE
from local_stack.kms.state import StateFile

KEY_RING = "projects/test/locations/global/keyRings/ring"
KEY = f"{KEY_RING}/cryptoKeys/key"
TOKEN = "token-of-the-local-stack"
CALL: dict[str, Any] = {"metadata": (("authorization", f"Bearer {TOKEN}"),), "retry": None, "timeout": 10.0}
"""What every call of an official client passes along."""


def version_name(number: int) -> str:
    """The resource name of a version of KEY."""
    return f"{KEY}/cryptoKeyVersions/{number}"


@asynccontextmanager
async def client_of(address: str) -> AsyncIterator[KeyManagementServiceAsyncClient]:
    """The official asynchronous client on a local server."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield KeyManagementServiceAsyncClient(transport=KeyManagementServiceGrpcAsyncIOTransport(channel=channel))


@asynccontextmanager
async def emulator(directory: Path, clock: Clock | None = None) -> AsyncIterator[str]:
    """An emulator in this process, with KEY in it; yields its address."""
    file = StateFile(directory)
    keys = Keys(file, clock or SystemClock())
    keys.ensure_key(KEY)
    server, port = await start(keys, Secret(TOKEN))
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)
        file.close()


@dataclass
class Fake:
    """A KMS whose Encrypt and Decrypt are `answer`, and which counts the calls and keeps their requests."""

    answer: Callable[[Any], Any]
    requests: list[Any] = field(default_factory=list)
    address: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Fake"]:
        """Serve on a free port. `answer` returns a response or a status to fail with, at once or in its time."""

        async def serve(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            self.requests.append(request)
            answer = self.answer(request)
            if isinstance(answer, Awaitable):
                answer = await answer
            if isinstance(answer, grpc.StatusCode):
                await context.abort(answer, f"as the test wants, {KEY}")
            return answer

        server = grpc.aio.server()
        types: dict[str, tuple[Any, Any]] = {
            "Encrypt": (EncryptRequest, EncryptResponse),
            "Decrypt": (DecryptRequest, DecryptResponse),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(serve, request.deserialize, response.serialize)
            for name, (request, response) in types.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield self
        finally:
            await server.stop(grace=None)


class EmulatorProcess:
    """`python -m local_stack.kms` on a directory. Ends with the `with` block."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.token_file = directory / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(TOKEN)
        self.data_dir = directory / "kms"
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "local_stack.kms",
                "--token-file",
                self.token_file,
                "--data-dir",
                self.data_dir,
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # No account of this machine's owner may help.
            env={**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent"},
        )
        assert self.process.stdout
        self.first_line = self.process.stdout.readline().rstrip("\n")

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.first_line.removeprefix("listening on ")

    def __enter__(self) -> "EmulatorProcess":
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)
