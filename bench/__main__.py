"""`make bench`: what the project is held to, as ratios of medians that were measured in turn on one machine.

Exit status 1 where a bound is missed. `--short` shows that it works: few repetitions, nothing judged.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from bench import (
    five_thousand_runs,
    get_run,
    idle_memory,
    interceptors,
    list_templates,
    million_rows,
    overload,
    report,
    rest,
    run_template,
    three_steps,
    verification,
    watch_run,
)
from bench.configs import bench_configs
from bench.report import Finding
from bench.rounds import FULL, SHORT, Rounds
from bench.stack import Stack, running_stack
from common import logs
from local_stack.environment import CONFIGS_DIR
from local_stack.errors import StackError
from local_stack.sample_catalog import PROFILES

LONGEST_SECONDS = 600.0
INTERRUPTED = 130


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what the project is held to")
    parser.add_argument("--short", action="store_true", help="few repetitions, and nothing judged")
    short = parser.parse_args().short
    logs.configure(output="console", level="WARNING")
    began = time.monotonic()
    try:
        held = asyncio.run(_bench(SHORT if short else FULL, judged=not short))
    except asyncio.CancelledError:
        return INTERRUPTED
    except (StackError, TimeoutError) as error:
        sys.exit(f"bench: {error or f'not done within {LONGEST_SECONDS:g} s'}")
    print(f"measured in {time.monotonic() - began:.0f} s")
    return 0 if held or short else 1


async def _bench(rounds: Rounds, *, judged: bool) -> bool:
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    held = True
    with bench_configs() as configs_dir:
        environ = {**os.environ, CONFIGS_DIR: str(configs_dir)}
        async with asyncio.timeout(LONGEST_SECONDS), running_stack(environ) as stack:
            print(report.HEADER, flush=True)
            async with aclosing(_findings(stack, rounds, configs_dir)) as groups:
                async for findings in groups:
                    print(*(report.line(finding, judged=judged) for finding in findings), sep="\n", flush=True)
                    held = held and all(finding.holds for finding in findings)
    return held


async def _findings(stack: Stack, rounds: Rounds, configs_dir: Path) -> AsyncGenerator[Sequence[Finding]]:
    yield idle_memory.measure(stack, "at first")
    tenant = await stack.onboard(PROFILES[0].tenant_id)
    yield await interceptors.measure(rounds)
    yield [await list_templates.measure(stack, tenant, rounds)]
    yield await rest.measure(stack, rounds)
    yield [await get_run.measure(stack, tenant, rounds)]
    yield await verification.measure(stack, tenant, rounds)
    yield await run_template.measure(stack, tenant, rounds)
    yield await watch_run.measure(stack, tenant, rounds)
    yield await three_steps.measure(stack, rounds, configs_dir)
    yield [await overload.measure(stack, rounds)]
    yield await million_rows.measure(stack, rounds)
    yield await five_thousand_runs.measure(stack, rounds.watched_runs)
    yield idle_memory.measure(stack, "at last")


if __name__ == "__main__":
    sys.exit(main())
