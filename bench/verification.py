"""Verification of keys: what it takes when it is warm, in time and memory, and a good key's call amid a flood of guesses."""

import asyncio
import json
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from statistics import quantiles

from bench.report import Duration, Finding, Ratio, Size
from bench.rounds import FULL, Rounds
from bench.stack import Stack, Tenant
from convergence.pipeline.v1.pipeline_service_pb2 import ListTemplatesRequest
from local_stack.process import TETHER

TIME_BOUND_SECONDS = 20e-6
MEMORY_BOUND_MEGABYTES = 50.0
FLOOD_BOUND = 2.0
PAUSE_SECONDS = 0.01
ROOT = Path(__file__).parents[1]


async def measure(stack: Stack, tenant: Tenant, rounds: Rounds) -> tuple[Finding, ...]:
    """The first two are of processes of their own, the last of the running service."""
    return (
        Duration("verification of a key, warm", await _warm_seconds(rounds), TIME_BOUND_SECONDS),
        Size("keys of 10,000 tenants, 3 each", await _megabytes(), MEMORY_BOUND_MEGABYTES),
        *await _flood(stack, tenant, rounds),
    )


async def _warm_seconds(rounds: Rounds) -> float:
    """The median that pytest-benchmark finds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "benchmark.json"
        options = [f"--benchmark-json={report}", *([] if rounds == FULL else ["--benchmark-max-time=0.1"])]
        await _output("pytest", "-n0", "-p", "no:cacheprovider", "bench/test_verification.py", *options)
        (benchmark,) = json.loads(report.read_text())["benchmarks"]
    return float(benchmark["stats"]["median"])


async def _megabytes() -> float:
    return float(await _output("bench.key_memory"))


async def _flood(stack: Stack, tenant: Tenant, rounds: Rounds) -> tuple[Ratio, ...]:
    """A good key's calls while guesses come from another process, and before and after."""
    address = stack.running.addresses["pipeline_service"]
    before = await _taken(stack, tenant, asyncio.create_task(asyncio.sleep(rounds.guesses / 5000)))
    guessing = asyncio.create_task(_output("bench.guesses", address, tenant.tenant_id, str(rounds.guesses)))
    during = await _taken(stack, tenant, guessing)
    assert json.loads(guessing.result()) == {"UNAUTHENTICATED": rounds.guesses}, guessing.result()
    after = await _taken(stack, tenant, asyncio.create_task(asyncio.sleep(rounds.guesses / 5000)))
    alone = before + after
    name = f"a good key amid {rounds.guesses:,} guesses / without"
    slowest = Ratio(f"{name}, p99", [_percentile(during)], [_percentile(alone)])
    return Ratio(name, during, alone, FLOOD_BOUND), slowest


async def _taken(stack: Stack, tenant: Tenant, meanwhile: "asyncio.Task[object]") -> list[float]:
    taken = []
    while not meanwhile.done():
        began = time.perf_counter()
        await stack.pipelines.ListTemplates(ListTemplatesRequest(), **tenant.call)
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE_SECONDS)
    return taken


def _percentile(taken: list[float]) -> float:
    return quantiles(taken, n=100)[-1]


async def _output(module: str, *arguments: str) -> str:
    """What a module prints that runs in a process of its own, and ends with this one."""
    command = (*TETHER, str(os.getpid()), sys.executable, "-m", module, *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT, cwd=ROOT)
    try:
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        return output
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
