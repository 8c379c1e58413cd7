"""PipelineService on a real port with its worker, over a real engine and a warehouse that the test names. Tenants are onboarded."""

import shutil
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from common.api_keys.hashing import digest_of
from common.clock import SystemClock
from common.telemetry.telemetry import Telemetry
from common.templates.catalog import default_configs_dir
from common.warehouse.warehouse import Destination, QueryJob, Statement, TableRef, Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from pipeline_service.bootstrap import wired
from pipeline_service.settings import PipelineServiceSettings
from pipeline_service.temporal_connection import connect
from tenant_service.pipeline_client import PipelineClient
from tests.local_kms import KEY
from tests.rpc.tenant_stack import ADMIN, TenantStack, as_key

DAY = "2025-11-15"
EXPORT = """
SELECT DATE '2025-11-15' AS day, 'compute' AS service, NUMERIC '1.123456789' AS cost, 3 AS items, TRUE AS billed, 0.5 AS ratio
UNION ALL SELECT DATE '2025-11-15', 'storage', NUMERIC '2', 4, FALSE, 1.5
UNION ALL SELECT DATE '2025-11-16', 'compute', NUMERIC '8', 5, NULL, 2.5
"""
TEMPLATES = {
    "daily": """
description: Cost of a day
parameters:
  date: {type: date, required: true}
  note: {type: string, default: none, description: Recorded}
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{source.export}` WHERE day = @date
    destination: {table: cost, write: replace_partition, partition: {column: day, value: "{date}"}, clustering: [service]}
    checks:
      - {type: not_null, column: service}
      - {type: row_count, min: 1}
    timeout: 1m
  - id: verify
    type: dq
    table: cost
    partition: {column: day, value: "{date}"}
    checks:
      - {type: unique, columns: [service]}
      - name: total
        type: reconcile
        measure: SUM(cost)
        with: SELECT SUM(cost) FROM `{source.export}` WHERE day = @date
    timeout: 1m
""",
    "strict": """
description: Publishes only days with many rows
parameters:
  date: {type: date, required: true}
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{source.export}` WHERE day = @date
    destination: {table: cost, write: replace_partition, partition: {column: day, value: "{date}"}, clustering: [service]}
    checks:
      - {type: row_count, min: 100}
    timeout: 1m
""",
    "list": """
description: Publishes a table without days
steps:
  - id: load
    type: query
    sql: SELECT 1 AS number
    destination: {table: numbers, write: replace_table}
""",
    "typed": """
description: Publishes what it is given
parameters:
  at: {type: datetime, default: "{yesterday}T06:00", max: "{today}"}
  filter: {type: json, required: true, description: What to look for}
  kind: {type: enum, values: [full, delta], default: full}
  region: {type: string, pattern: "[a-z]{2}", max_length: 2}
  share: {type: number, min: 0, max: 1}
steps:
  - id: load
    type: query
    sql: SELECT @at AS `at`, @filter AS filter, @kind AS kind, @region AS region, @share AS share
    destination: {table: given, write: replace_table}
""",
    "broken": "description: [",
}


@dataclass
class PipelineStack:
    """A running PipelineService."""

    stub: Any
    warehouse: Warehouse
    tenants: TenantStack
    address: str

    async def onboard(self, *, export: bool = True) -> tuple[str, Any]:
        """See the function of that name."""
        return await onboard(self.warehouse, self.tenants, export=export)

    async def run(self, tenant_id: str, key: Any, template_name: str = "daily", **fields: Any) -> run_pb2.Run:
        """Run a template and watch it to its end."""
        started = await self.start(tenant_id, key, template_name, **fields)
        return await self.end_of(key, started.pipeline_logging_id)

    async def end_of(self, key: Any, pipeline_logging_id: str) -> run_pb2.Run:
        """Watch a run to its end."""
        watch = pb2.WatchRunRequest(pipeline_logging_id=pipeline_logging_id)
        runs: list[run_pb2.Run] = [run async for run in self.stub.WatchRun(watch, metadata=key, timeout=60)]
        return runs[-1]

    async def start(
        self, tenant_id: str, key: Any, template_name: str = "daily", **fields: Any
    ) -> pb2.RunTemplateResponse:
        """Start a run of a template of these tests for DAY."""
        fields = {"date": DAY, **fields}
        request = pb2.RunTemplateRequest(
            tenant_id=tenant_id, provider="gcp", domain="test", template_name=template_name, **fields
        )
        answer: pb2.RunTemplateResponse = await self.stub.RunTemplate(request, metadata=key, timeout=30)
        return answer

    async def rows(self, tenant_id: str, key: Any, table: str = "cost", **fields: Any) -> list[dict[str, Any]]:
        """The rows of a published table, as they come. The last message of the stream, and no other, says that it is whole."""
        request = pb2.ReadTableRequest(tenant_id=tenant_id, table=table, **fields)
        messages = [message async for message in self.stub.ReadTable(request, metadata=key, timeout=30)]
        assert [message.complete for message in messages] == [False] * (len(messages) - 1) + [True]
        assert messages[0].columns, "also where the table has no rows"
        return [dict(row.items()) for message in messages for row in message.rows]


async def onboard(warehouse: Warehouse, tenants: TenantStack, *, export: bool = True) -> tuple[str, Any]:
    """A new tenant, which may read an export of three rows, and the metadata of its key."""
    tenant_id = f"t_{uuid.uuid4().hex[:16]}"
    sources = {}
    if export:
        table = TableRef(f"export_{tenant_id}", "rows")
        await warehouse.create_dataset(table.dataset, location="US", labels={})
        job = QueryJob(f"export-{tenant_id}", Statement(EXPORT), Destination(table))
        await warehouse.submit(job)
        await warehouse.wait(job.job_id, timeout_seconds=60)
        sources["export"] = str(table)
    request = tenant_pb2.OnboardRequest(tenant_id=tenant_id, sources=sources)
    answer = await tenants.stub.Onboard(request, metadata=tenants.as_admin, timeout=60)
    return tenant_id, as_key(answer.api_key)


def configs_with(folder: Path, templates: Mapping[str, str]) -> Path:
    """The shipped configs, and these templates under gcp/test."""
    configs_dir = folder / "configs"
    shutil.copytree(default_configs_dir(), configs_dir)
    (configs_dir / "gcp" / "test").mkdir()
    for name, text in templates.items():
        (configs_dir / "gcp" / "test" / f"{name}.yml").write_text(text)
    return configs_dir


@asynccontextmanager
async def pipeline_stack(
    folder: Path, warehouse: Warehouse, tenants: TenantStack, temporal_address: str, /, **options: Any
) -> AsyncIterator[PipelineStack]:
    """Start PipelineService with the templates of these tests, which `tenants` then asks to cancel runs; stop it. `options` go before the
    settings here; `telemetry` among them is where it tells what goes on."""
    configs_dir = options.pop("configs_dir", None) or configs_with(folder, TEMPLATES)
    telemetry: Telemetry | None = options.pop("telemetry", None)
    settings = PipelineServiceSettings(
        _env_file=None,
        configs_dir=configs_dir,
        **{
            "listen_address": "127.0.0.1:0",
            "project": "local",
            "GCP_KMS_KEY_NAME": KEY,
            "admin_key_hashes": (digest_of(ADMIN),),
            "temporal_task_queue": uuid.uuid4().hex,
            "shutdown_grace_seconds": 0,
            **options,
        },
    )
    client = await connect(temporal_address, namespace="default")
    async with wired(
        settings,
        warehouse=warehouse,
        cipher=tenants.cipher,
        client=client,
        clock=SystemClock(),
        telemetry=telemetry,
    ) as server:
        await server.start()
        try:
            address = f"127.0.0.1:{server.port}"
            async with grpc.aio.insecure_channel(address) as channel:
                tenants.runner.canceller = PipelineClient(lambda: channel, bound_seconds=settings.auth_bound_seconds)
                yield PipelineStack(PipelineServiceStub(channel), warehouse, tenants, address)
        finally:
            tenants.runner.canceller = None
            await server.stop()
