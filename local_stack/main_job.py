"""The main job, as the demo does it: onboard two tenants, run one template for both, read the runs and the costs, try to cross over.

Everything that is shown is also judged; what was not seen as it should be is on the list that `do_main_job` gives back.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import grpc

from common.secret import Secret
from convergence.pipeline.v1 import run_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from local_stack.api_client import CHANNEL_OPTIONS, ApiClient, reason_of
from local_stack.demo_view import DemoView
from local_stack.parts import SERVICES
from local_stack.sample_catalog import PROFILES
from local_stack.throw_away import RunningStack

TENANTS = tuple(profile.tenant_id for profile in PROFILES)
TEMPLATE = "gcp/cost/bill-sample-export-template"
TABLE = "cost_daily"
DAY = "2025-11-15"
TABLES_CREATED = {"api_keys", "cloud_credentials", "pipeline_runs", "step_logs", "dq_results"}


@dataclass(frozen=True, slots=True)
class Costs:
    """A day's rows, and their sums by service: (cost, credits, net cost)."""

    rows: int
    by_service: Mapping[str, tuple[Decimal, Decimal, Decimal]]

    @property
    def net(self) -> Decimal:
        """Cost less credits, of all services."""
        return sum((net for _, _, net in self.by_service.values()), Decimal())

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> "Costs":
        """Sum rows of `cost_daily` without losing a digit."""
        sums: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
        for row in rows:
            service = str(row["service_description"])
            cost, credit, net = sums.get(service, (Decimal(), Decimal(), Decimal()))
            sums[service] = (
                cost + Decimal(row["cost"]),
                credit + Decimal(row["credits"]),
                net + Decimal(row["net_cost"]),
            )
        return cls(len(rows), sums)


async def do_main_job(stack: RunningStack, view: DemoView) -> Sequence[str]:
    """Do it and show it. Gives what was not seen as it should be: empty where all is well."""
    job = _MainJob(view)
    try:
        async with contextlib.AsyncExitStack() as channels:
            await job.do(stack, channels)
    except grpc.aio.AioRpcError as error:
        job.see(f"a call was refused: {error.code().name} {reason_of(error)} {error.details()}", seen=False)
    return job.missing


class _MainJob:
    def __init__(self, view: DemoView) -> None:
        self._view = view
        self.missing: list[str] = []

    def see(self, what: str, *, seen: bool) -> None:
        """Show a finding, and remember it where it is not as it should be."""
        self._view.finding(what, seen=seen)
        if not seen:
            self.missing.append(what)

    async def do(self, stack: RunningStack, channels: contextlib.AsyncExitStack) -> None:
        tenant_channel, pipeline_channel = [
            await channels.enter_async_context(
                grpc.aio.insecure_channel(stack.addresses[name], options=CHANNEL_OPTIONS)
            )
            for name in SERVICES
        ]

        def client(key: Secret) -> ApiClient:
            return ApiClient(tenant_channel, pipeline_channel, key)

        self._view.heading("Onboard two tenants")
        keys = {tenant: await self._onboard(client(stack.admin_key), tenant) for tenant in TENANTS}
        clients = {tenant: client(key) for tenant, key in keys.items()}

        self._view.heading(f"Run {TEMPLATE} for {DAY}, for both at once")
        first = await self._run_both(clients)
        for run in first.values():
            self._show_run(run)

        self._view.heading("Cost by service, read through ReadTable")
        costs = {tenant: await self._read_costs(clients[tenant], tenant) for tenant in TENANTS}
        for tenant, cost in costs.items():
            self._view.costs(tenant, DAY, cost.by_service)
        one, other = costs.values()
        self.see(
            "each tenant sees costs of its own, and their totals differ",
            seen=one.net != other.net and min(one.rows, other.rows) > 0,
        )

        self._view.heading(f"The key of {TENANTS[0]} opens nothing of {TENANTS[1]}")
        await self._try_to_cross_over(clients[TENANTS[0]], TENANTS[1])

        self._view.heading(f"Run {DAY} again")
        second = await self._run_both(clients)
        again = {tenant: await self._read_costs(clients[tenant], tenant) for tenant in TENANTS}
        for tenant in TENANTS:
            fresh = second[tenant].pipeline_logging_id != first[tenant].pipeline_logging_id
            same = again[tenant] == costs[tenant]
            self.see(
                f"{tenant}: a second run, {again[tenant].rows} rows and {again[tenant].net:,.2f} USD as before",
                seen=fresh and same and second[tenant].status == run_pb2.Run.COMPLETE,
            )

    async def _onboard(self, admin: ApiClient, tenant: str) -> Secret:
        answer = await admin.onboard(tenant)
        key = Secret(answer.api_key)
        prefix = f"{tenant}_api_"
        self.see(
            f"{answer.message}: {len(answer.tables_created)} tables, "
            f"dry run {tenant_pb2.OnboardResponse.DryrunStatus.Name(answer.dryrun_status)}, key {prefix}{'*' * 16}",
            seen=answer.message == f"Customer {tenant} onboarded successfully"
            and set(answer.tables_created) == TABLES_CREATED
            and answer.dataset_created
            and answer.dryrun_status == tenant_pb2.OnboardResponse.SUCCESS
            and re.fullmatch(rf"{prefix}[A-Za-z0-9]{{16}}", key.reveal()) is not None,
        )
        return key

    async def _run_both(self, clients: Mapping[str, ApiClient]) -> dict[str, run_pb2.Run]:
        with self._view.live_runs() as live:

            async def run(tenant: str) -> run_pb2.Run:
                run_id = await clients[tenant].run_template(tenant, TEMPLATE, DAY)
                async for snapshot in clients[tenant].watch(run_id):
                    live.update(snapshot)
                return await clients[tenant].get_run(run_id)

            runs = await asyncio.gather(*map(run, clients))
        for tenant, done in zip(clients, runs, strict=True):
            status = run_pb2.Run.Status.Name(done.status)
            self.see(f"{tenant}: the run is {status}", seen=done.status == run_pb2.Run.COMPLETE)
        return dict(zip(clients, runs, strict=True))

    def _show_run(self, run: run_pb2.Run) -> None:
        self._view.run(run)
        checks = [check for step in run.steps for check in step.checks]
        rows = sum(step.rows_written for step in run.steps)
        self.see(
            f"{run.tenant_id}: {len(run.steps)} steps, {rows} rows published",
            seen=rows > 0 and all(step.status == run_pb2.Step.COMPLETE for step in run.steps),
        )
        passed = sum(check.passed for check in checks)
        self.see(f"{run.tenant_id}: {passed} of {len(checks)} checks passed", seen=0 < passed == len(checks))

    async def _read_costs(self, client: ApiClient, tenant: str) -> Costs:
        return Costs.of(await client.read_table(tenant, TABLE, DAY))

    async def _try_to_cross_over(self, intruder: ApiClient, tenant: str) -> None:
        async for what, status, reason in _refusals(intruder, tenant):
            refused = (status, reason) == ("PERMISSION_DENIED", "TENANT_MISMATCH")
            self.see(f"{what}: {status} {reason}", seen=refused)


async def _refusals(intruder: ApiClient, tenant: str) -> AsyncIterator[tuple[str, str, str]]:
    """(what was tried, status, reason)."""
    attempts = {
        "RunTemplate": intruder.run_template(tenant, TEMPLATE, DAY),
        "ReadTable": intruder.read_table(tenant, TABLE, DAY),
    }
    for name, attempt in attempts.items():
        try:
            await attempt
        except grpc.aio.AioRpcError as error:
            yield name, error.code().name, reason_of(error)
        else:
            yield name, "OK", "which it should not be"
