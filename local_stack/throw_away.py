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
from local_stack import ports
from local_stack.errors import StackError
from local_stack.parts import SERVERS
from local_stack.process import TETHER
from local_stack.state import State

READY_SECONDS = 120.0
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where each server listens, `host:port` by its name in `parts.SERVERS`; the operator's key; and the folder of pids and tokens."""

    addresses: Mapping[str, str]
    admin_key: Secret
    state: State


@contextlib.asynccontextmanager
async def throw_away_stack(environ: Mapping[str, str], say: Callable[[str], None]) -> AsyncIterator[RunningStack]:
    """Start a stack; stop it and remove its state at the end, whatever happened. `say` gets the supervisor's lines while it starts.

    Raises StackError where the stack does not start. When anything fails, the logs (no keys, no data) are kept, and `say` tells where.
    """
    state = State(Path(tempfile.mkdtemp(prefix="convergence-demo-")))
    try:
        assigned = ports.assign(dict.fromkeys(SERVERS, 0))
        async with _supervisor(state, assigned, environ) as process:
            output = process.stdout
            assert output  # noqa: S101  it is a pipe
            await _until_ready(output, say)
            draining = asyncio.create_task(_drain(output))
            try:
                addresses = {name: f"{ports.HOST}:{port}" for name, port in assigned.items()}
                yield RunningStack(addresses, Secret(state.admin_key_file.read_text()), state)
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
async def _supervisor(
    state: State, assigned: Mapping[str, int], environ: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    port_flags = (f"--{name.removesuffix('_service')}-port={port}" for name, port in assigned.items())
    flags = (f"--state-dir={state.root}", *port_flags)
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


async def _until_ready(output: asyncio.StreamReader, say: Callable[[str], None]) -> None:
    last = "it printed nothing"
    try:
        async with asyncio.timeout(READY_SECONDS):
            async for raw in output:
                line = raw.decode(errors="replace").rstrip()
                if line.startswith("ready "):
                    return
                if line.startswith("supervisor"):
                    say(line.partition("| ")[2])
                last = line or last
    except TimeoutError:
        raise StackError(f"the stack was not ready within {READY_SECONDS:g} s; its last line: {last}") from None
    raise StackError(f"the stack did not start: {last}")


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(65536):
        pass
