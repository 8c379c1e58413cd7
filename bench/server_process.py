"""A server of the benchmark's own, in a process that ends with this one."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

from local_stack.process import TETHER


@contextlib.asynccontextmanager
async def server_process(module: str, *arguments: str) -> AsyncIterator[list[str]]:
    """Run a module; the words of the first line that it prints, a port first. What it logs goes nowhere."""
    command = (*TETHER, str(os.getpid()), sys.executable, "-m", module, *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout
        yield (await process.stdout.readline()).decode().split()
    finally:
        process.kill()
        await process.wait()
