"""A whole stack on throw-away state and free ports: the supervisor of `make up`, as a process of its own."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.secret import Secret
from local_stack.errors import StackError
from local_stack.process import TETHER
from local_stack.state import State

READY_SECONDS = 120.0
STOP_SECONDS = 30.0
PORT_FLAGS = tuple(f"--{name}-port=0" for name in ("tenant", "pipeline", "warehouse", "kms", "temporal"))


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where the services listen, `host:port`, and the operator's key."""

    tenant_service: str
    pipeline_service: str
    admin_key: Secret


@contextlib.asynccontextmanager
async def throw_away_stack(environ: Mapping[str, str], say: Callable[[str], None]) -> AsyncIterator[RunningStack]:
    """Start a stack; stop it and remove its state at the end, whatever happened. `say` gets the supervisor's lines while it starts.

    Raises StackError where the stack does not start. When anything fails, the logs (no keys, no data) are kept, and `say` tells where.
    """
    state = State(Path(tempfile.mkdtemp(prefix="convergence-demo-")))
    try:
        async with _supervisor(state, environ) as process:
            output = process.stdout
            assert output  # noqa: S101  it is a pipe
            addresses = await _until_ready(output, say)
            draining = asyncio.create_task(_drain(output))
            try:
                yield RunningStack(**addresses, admin_key=Secret(state.admin_key_file.read_text()))
            finally:
                draining.cancel()
    except BaseException as error:
        if not isinstance(error, asyncio.CancelledError):
            kept = Path(tempfile.mkdtemp(prefix="convergence-demo-logs-"))
            shutil.copytree(state.log, kept, dirs_exist_ok=True)
            say(f"the logs are kept in {kept}")
        raise
    finally:
        shutil.rmtree(state.root, ignore_errors=True)


@contextlib.asynccontextmanager
async def _supervisor(state: State, environ: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    flags = (f"--state-dir={state.root}", *PORT_FLAGS)
    process = await asyncio.create_subprocess_exec(
        *(*TETHER, str(os.getpid()), sys.executable, "-P", "-m", "local_stack", "up", *flags),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _until_ready(output: asyncio.StreamReader, say: Callable[[str], None]) -> dict[str, str]:
    last = "it printed nothing"
    try:
        async with asyncio.timeout(READY_SECONDS):
            async for raw in output:
                line = raw.decode(errors="replace").rstrip()
                if line.startswith("ready "):
                    return dict(part.split("=", 1) for part in line.split()[1:])
                if line.startswith("supervisor"):
                    say(line.partition("| ")[2])
                last = line or last
    except TimeoutError:
        raise StackError(f"the stack was not ready within {READY_SECONDS:g} s; its last line: {last}") from None
    raise StackError(f"the stack did not start: {last}")


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(65536):
        pass
