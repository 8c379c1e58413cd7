"""`python -m bench.five_thousand_runs`: the memory of a real pipeline_service over 5,000 runs, after some hundreds that do not count.

Exit status 1 where it grew beyond the bound. `--runs` makes it shorter: then it shows that it works, and nothing is judged.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from statistics import linear_regression, median

from bench import idle_memory, report
from bench.report import Size
from bench.stack import Stack, Tenant, running_stack
from common import logs
from convergence.pipeline.v1.pipeline_service_pb2 import RunTemplateRequest, WatchRunRequest
from convergence.pipeline.v1.run_pb2 import Run

RUNS = 5000
WARM_UP_RUNS = 500
TENANTS = 8
BOUND_MEGABYTES = 10.0
"""What one run needs in memory is 20 kB at the least, its plan and state alone: of 5,000 runs that stayed there, a tenth would show. What
stays within it is the allocator's and the garbage collector's to and fro, a few MB either way."""
SAMPLES = 100
FIRST_DAY = date(2020, 1, 1)
LONGEST_SECONDS = 4 * 3600.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.five_thousand_runs", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"so many instead of {RUNS}, and nothing judged")
    runs = parser.parse_args().runs
    if runs < 1:
        parser.error("--runs: at least 1")
    logs.configure(output="console", level="WARNING")
    held = asyncio.run(_bench(runs))
    return 0 if held or runs < RUNS else 1


async def _bench(runs: int) -> bool:
    async with asyncio.timeout(LONGEST_SECONDS), running_stack(os.environ) as stack:
        began = time.monotonic()
        findings = await measure(stack, runs)
        print(report.HEADER, *(report.line(f, judged=runs >= RUNS) for f in findings), sep="\n")
        print(f"measured in {time.monotonic() - began:.0f} s")
    return all(finding.holds for finding in findings)


async def measure(stack: Stack, runs: int) -> tuple[Size, ...]:
    """Growth from the first tenth of the samples to the last, by their medians, and by the line through all; and where it ended. Bounds
    are for RUNS."""
    tenants = [await stack.onboard(f"runs_{number}") for number in range(min(TENANTS, -(-runs // 10)))]
    await _run(stack, tenants, WARM_UP_RUNS * runs // RUNS, lambda: None)
    samples = [stack.resident_megabytes("pipeline_service")]
    await _run(stack, tenants, runs, lambda: samples.append(stack.resident_megabytes("pipeline_service")))
    tenth = max(1, len(samples) // 10)
    growth = median(samples[-tenth:]) - median(samples[:tenth])
    slope = linear_regression(range(len(samples)), samples).slope * (len(samples) - 1)
    bound, idle_bound = (BOUND_MEGABYTES, idle_memory.BOUND_MEGABYTES) if runs >= RUNS else (None, None)
    return (
        Size(f"{runs:,} runs: growth of pipeline_service", growth, bound),
        Size(f"{runs:,} runs: the same by the line of best fit", slope),
        Size(f"{runs:,} runs: memory of pipeline_service, at most", max(samples)),
        Size(f"{runs:,} runs: memory of pipeline_service, at last", samples[-1], idle_bound),
    )


async def _run(stack: Stack, tenants: Sequence[Tenant], runs: int, sample: Callable[[], None]) -> None:
    """So many runs of the dry run, watched to their ends: one at a time for each tenant, since all write one table of its. Samples are
    taken at even distances."""
    left = iter(range(1, runs + 1))
    every = max(1, runs // SAMPLES)

    async def runs_of(tenant: Tenant) -> None:
        for number in left:
            await _one(stack, tenant, FIRST_DAY + timedelta(days=number % 2000))
            if number % every == 0:
                sample()

    async with asyncio.TaskGroup() as group:
        for tenant in tenants:
            group.create_task(runs_of(tenant))


async def _one(stack: Stack, tenant: Tenant, day: date) -> None:
    request = RunTemplateRequest(
        tenant_id=tenant.tenant_id,
        provider="gcp",
        domain="example",
        template_name="dryrun",
        date=day.isoformat(),
    )
    started = await stack.pipelines.RunTemplate(request, **tenant.call)
    watch = WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id)
    *_, run = [state async for state in stack.pipelines.WatchRun(watch, **tenant.call)]
    assert run.status == Run.COMPLETE, run


if __name__ == "__main__":
    sys.exit(main())
