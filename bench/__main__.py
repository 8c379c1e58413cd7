"""`make bench`: what the project is held to, as ratios of medians that were measured in turn on one machine.

Exit status 1 where a bound is missed. `--short` shows that it works, judges nothing and always ends with 0 if it ran.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator

from bench import get_run, list_templates, million_rows, run_template
from bench.report import HEADER, Finding, Size
from bench.rounds import FULL, SHORT, Rounds
from bench.stack import Stack, running_stack
from common import logs
from local_stack.parts import SERVICES
from local_stack.sample_catalog import PROFILES

IDLE_BOUND_MEGABYTES = 200.0
LONGEST_SECONDS = 600.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what the project is held to")
    parser.add_argument("--short", action="store_true", help="few repetitions, and no verdict")
    short = parser.parse_args().short
    logs.configure(output="console", level="WARNING")
    began = time.monotonic()
    try:
        held = asyncio.run(_bench(SHORT if short else FULL))
    except asyncio.CancelledError:
        return 130
    print(f"measured in {time.monotonic() - began:.0f} s")
    return 0 if held or short else 1


async def _bench(rounds: Rounds) -> bool:
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    held = True
    async with asyncio.timeout(LONGEST_SECONDS), running_stack(os.environ) as stack:
        print(HEADER, flush=True)
        async for finding in _findings(stack, rounds):
            print(finding, flush=True)
            held = held and finding.holds
    return held


async def _findings(stack: Stack, rounds: Rounds) -> AsyncIterator[Finding]:
    for name in SERVICES:
        yield Size(f"idle memory of {name}", stack.resident_megabytes(name), IDLE_BOUND_MEGABYTES)
    tenant = await stack.onboard(PROFILES[0].tenant_id)
    yield await list_templates.measure(stack, tenant, rounds)
    yield await get_run.measure(stack, tenant, rounds)
    for ratio in await run_template.measure(stack, tenant, rounds):
        yield ratio
    for finding in await million_rows.measure(stack, rounds):
        yield finding
    for name in SERVICES:
        yield Size(f"memory of {name} after all this", stack.resident_megabytes(name), IDLE_BOUND_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
