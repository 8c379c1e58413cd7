"""Wires PipelineService. Alone names the concrete adapters."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import grpc
from temporalio.client import Client

from common.authentication import open_directory, open_tenants, open_usage, open_verifier
from common.clock import Clock, SystemClock
from common.credentials.store import CredentialStore
from common.encryption.cipher import Cipher
from common.rpc.server import Server
from common.telemetry.caches import tell_lookups
from common.telemetry.open import open_telemetry
from common.telemetry.telemetry import Telemetry
from common.templates.catalog import Catalog
from common.tenants.tenant import MARK
from common.tenants.tenants import Tenants
from common.warehouse.open import open_accounts, open_warehouse, traced
from common.warehouse.schemas import load_table_spec
from common.warehouse.warehouse import Warehouse
from convergence.pipeline.v1.pipeline_service_pb2_grpc import add_PipelineServiceServicer_to_server
from pipeline_service.backfill_template import MAX_PARALLEL, BackfillTemplate
from pipeline_service.budgets import BudgetLimits, Budgets
from pipeline_service.cancel_run import CancelRun
from pipeline_service.cancel_runs import CancelRuns
from pipeline_service.estimates import Estimates
from pipeline_service.gate_activities import GateActivities
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import Limits
from pipeline_service.get_run import GetRun
from pipeline_service.get_template import GetTemplate
from pipeline_service.last_run import LastRuns
from pipeline_service.list_runs import ListRuns
from pipeline_service.list_templates import ListTemplates
from pipeline_service.load_settings import places_of
from pipeline_service.locations import Locations
from pipeline_service.plan_template import PlanTemplate
from pipeline_service.planning import Planner
from pipeline_service.price import Price
from pipeline_service.read_table import ReadTable
from pipeline_service.records import CHECKS, RUNS, STEPS, Records
from pipeline_service.request_record import Requests
from pipeline_service.retry_run import RetryRun
from pipeline_service.run_gauges import run_gauges
from pipeline_service.run_pipeline import RunPipeline
from pipeline_service.run_telemetry import RunTelemetry
from pipeline_service.run_template import RunTemplate
from pipeline_service.servicer import PipelineServicer, UseCases
from pipeline_service.settings import PipelineServiceSettings
from pipeline_service.steps.accounts import StepAccounts, TenantAccounts
from pipeline_service.temporal_connection import open_client
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.temporal_gates import TemporalGates
from pipeline_service.temporal_requests import TemporalRequests
from pipeline_service.temporal_run_counter import TemporalRunCounter
from pipeline_service.traced_engine import open_engine
from pipeline_service.watch_run import WatchRun
from pipeline_service.watches import Watches
from pipeline_service.worker import working
from pipeline_service.worker_activities import backfill_activities, run_activities

SERVICE_NAME = "convergence.pipeline.v1.PipelineService"
STEPS_SHARE = 0.7
"""How much of the grace period steps may take to finish: the rest is for handing them back."""
WATCHES = frozenset({f"/{SERVICE_NAME}/WatchRun"})


@asynccontextmanager
async def pipeline_server(settings: PipelineServiceSettings) -> AsyncIterator[Server]:
    """The server, wired and not yet started, with its worker at work. Waits for the run engine; closes everything at the end."""
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(open_telemetry(settings, service="pipeline_service"))
        warehouse = open_warehouse(settings)
        stack.push_async_callback(warehouse.close)
        cipher = _open_cipher(settings, stack) if _decrypts(settings) else None
        client = await open_client(settings)
        server = wired(
            settings, warehouse=warehouse, cipher=cipher, client=client, clock=SystemClock(), telemetry=telemetry
        )
        yield await stack.enter_async_context(server)


@asynccontextmanager
async def wired(
    settings: PipelineServiceSettings,
    *,
    warehouse: Warehouse,
    cipher: Cipher | None,
    client: Client,
    clock: Clock,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Server]:
    """The server over these adapters. By its role it answers calls, or a worker is at work meanwhile, or both. `cipher` may be None where
    no step can have a credential, `telemetry` where nobody is to be told what goes on."""
    warehouse = traced(warehouse, settings, telemetry)
    schemas = settings.configs_dir / "metadata" / "schemas"
    records = Records(
        warehouse, {name: load_table_spec(schemas / f"{name}.json") for name in (RUNS, STEPS, CHECKS)}, clock
    )
    directory = open_directory(settings, warehouse, clock)
    tenants = open_tenants(settings, warehouse, directory, clock)
    gates = TemporalGates(client, task_queue=settings.temporal_task_queue)
    limits = Limits(
        settings.max_active_runs_per_tenant,
        settings.max_active_runs_per_template,
        settings.max_bytes_per_tenant_per_day,
    )
    door = GateDoor(gates, limits)
    engine = open_engine(client, task_queue=settings.temporal_task_queue, door=door, telemetry=telemetry)
    usage = open_usage(settings, warehouse, clock)
    price = Price(settings.price_per_tib_usd)
    locations = Locations(own=places_of(settings.load_locations), shared=places_of(settings.shared_load_locations))
    verifier = open_verifier(settings, warehouse, directory, usage, clock)
    tell_lookups(telemetry, {"tenants": directory.lookups, "keys": verifier.lookups})
    budget_limits = BudgetLimits(settings.max_bytes_per_run, settings.max_bytes_per_tenant_per_day)
    planner = Planner(tenants, locations, clock, budget_limits)
    services: dict[str, Callable[[grpc.aio.Server], None]] = {}
    endings: list[Callable[[], None]] = []
    async with AsyncExitStack() as stack:
        counter = TemporalRunCounter(client, task_queue=settings.temporal_task_queue)
        await stack.enter_async_context(
            run_gauges(telemetry, counter, interval_seconds=settings.metric_interval_seconds)
        )
        if settings.role != "worker":
            catalog = await stack.enter_async_context(_watched_catalog(settings.configs_dir))
            watches = Watches(engine)
            use_cases = _use_cases(
                catalog=catalog,
                tenants=tenants,
                planner=planner,
                engine=engine,
                watches=watches,
                requests=Requests(engine, TemporalRequests(client, task_queue=settings.temporal_task_queue)),
                records=records,
                warehouse=warehouse,
                clock=clock,
                price=price,
                budgets=Budgets(budget_limits, gates, engine, clock),
                settle_seconds=settings.auth_bound_seconds + settings.cancel_margin_seconds,
            )
            endings.append(watches.end)
            services[SERVICE_NAME] = partial(add_PipelineServiceServicer_to_server, PipelineServicer(use_cases))
        if settings.role != "api":
            activities = run_activities(
                tenants=tenants,
                locations=locations,
                records=records,
                warehouse=warehouse,
                accounts=StepAccounts(warehouse, _tenant_accounts(settings, warehouse, cipher, telemetry)),
                door=door,
                clock=clock,
                price=price,
            )
            worker = working(
                client,
                activities,
                GateActivities(gates=gates, tenants=tenants, records=records, limits=limits, clock=clock),
                backfill_activities(tenants=tenants, planner=planner, engine=engine, records=records),
                task_queue=settings.temporal_task_queue,
                max_concurrent_steps=settings.max_concurrent_steps,
                grace_seconds=settings.shutdown_grace_seconds * STEPS_SHARE,
                cached_runs=settings.temporal_cached_runs,
                interceptors=[RunTelemetry(telemetry)] if telemetry else [],
            )
            endings.append(await stack.enter_async_context(worker))
        yield Server(
            settings,
            services=services,
            authenticator=verifier,
            dependencies={"warehouse": partial(warehouse.list_datasets, label=MARK), "engine": engine.probe},
            beside=usage.flushing(),
            clock=clock,
            watches=WATCHES,
            endings=endings,
            telemetry=telemetry,
        )


@asynccontextmanager
async def _watched_catalog(configs_dir: Path) -> AsyncIterator[Catalog]:
    """The templates, read again whenever their files change."""
    catalog = Catalog(configs_dir)
    await asyncio.to_thread(catalog.load)
    reloading = asyncio.create_task(catalog.watch())
    try:
        yield catalog
    finally:
        reloading.cancel()
        with suppress(asyncio.CancelledError):
            await reloading


def _decrypts(settings: PipelineServiceSettings) -> bool:
    """Whether steps run here that may do so as an account of the tenant's: the local warehouse knows none."""
    return settings.role != "api" and settings.warehouse == "bigquery"


def _open_cipher(settings: PipelineServiceSettings, stack: AsyncExitStack) -> Cipher:
    """Cloud KMS, until the stack unwinds. Its client is 25 MB of memory, so it is imported only by who decrypts."""
    from common.encryption.kms import connect  # noqa: PLC0415

    cipher = connect(settings)
    stack.push_async_callback(cipher.close)
    return cipher


def _tenant_accounts(
    settings: PipelineServiceSettings, warehouse: Warehouse, cipher: Cipher | None, telemetry: Telemetry | None
) -> TenantAccounts | None:
    """None for the local warehouse, which knows no accounts."""
    warehouses = open_accounts(settings, telemetry)
    if warehouses is None:
        return None
    assert cipher is not None  # noqa: S101  `_decrypts` says so
    return TenantAccounts(
        warehouses=warehouses,
        credentials=CredentialStore(warehouse),
        cipher=cipher,
        token_uris=settings.credential_token_uris,
    )


def _use_cases(
    *,
    catalog: Catalog,
    tenants: Tenants,
    planner: Planner,
    engine: TemporalEngine,
    watches: Watches,
    requests: Requests,
    records: Records,
    warehouse: Warehouse,
    clock: Clock,
    price: Price,
    budgets: Budgets,
    settle_seconds: float,
) -> UseCases:
    run_template = RunTemplate(catalog=catalog, tenants=tenants, planner=planner, budgets=budgets, requests=requests)
    get_run = GetRun(engine, records)
    return UseCases(
        run_template=run_template,
        run_pipeline=RunPipeline(run_template),
        backfill_template=BackfillTemplate(
            catalog=catalog,
            tenants=tenants,
            planner=planner,
            budgets=budgets,
            requests=requests,
            most_parallel=min(warehouse.writers_per_table or MAX_PARALLEL, MAX_PARALLEL),
        ),
        plan_template=PlanTemplate(
            catalog=catalog,
            tenants=tenants,
            planner=planner,
            estimates=Estimates(warehouse, price),
            last_runs=LastRuns(records, engine, planner),
            budgets=budgets,
        ),
        get_run=get_run,
        watch_run=WatchRun(get_run, watches),
        cancel_run=CancelRun(get_run=get_run, engine=engine, warehouse=warehouse),
        retry_run=RetryRun(get_run=get_run, tenants=tenants, engine=engine, budgets=budgets, requests=requests),
        cancel_runs=CancelRuns(
            tenants=tenants, engine=engine, requests=requests, clock=clock, settle_seconds=settle_seconds
        ),
        list_runs=ListRuns(records, get_run),
        get_template=GetTemplate(catalog),
        list_templates=ListTemplates(catalog),
        read_table=ReadTable(catalog, warehouse),
    )
