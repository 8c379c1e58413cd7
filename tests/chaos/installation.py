"""An installation for replicas that are processes of their own: TenantService and a KMS in this one, a warehouse, a run engine."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from common.api_keys.hashing import digest_of
from common.warehouse.warehouse import Warehouse
from tests.chaos.patient import PATIENCE_SECONDS, RECONNECT, Patient
from tests.chaos.replica import Replica, serve_tenants
from tests.local_kms import KEY, emulator
from tests.rpc.pipeline_stack import TEMPLATES, configs_with, onboard
from tests.rpc.tenant_stack import ADMIN, TenantStack, tenant_stack
from tests.stubs.bigquery import BigQueryStub
from tests.warehouses import LocalServer

ROUND_ROBIN = '{"loadBalancingConfig": [{"round_robin": {}}]}'
TEMPLATE = "gcp/test/daily"
ONE_STEP = """
description: One step, as short as any
parameters:
  note: {type: string, default: none}
steps:
  - id: load
    type: query
    sql: SELECT @note AS note
    destination: {table: notes, write: replace_table}
"""
LASTING = {name: text.replace("timeout: 1m", "timeout: 10m") for name, text in TEMPLATES.items()} | {"one": ONE_STEP}
"""As long as steps last unless a template says otherwise: longer than any outage here."""


@dataclass(frozen=True)
class Tenant:
    """A tenant, and its key."""

    tenant_id: str
    key: str


@dataclass
class Installation:
    """`stub` is None on the local warehouse."""

    folder: Path
    warehouse: Warehouse
    stub: BigQueryStub | None
    tenants: TenantStack
    settings: dict[str, Any]
    replicas: list[Replica] = field(default_factory=list)

    def pair(self, **settings: Any) -> tuple[Replica, Replica]:
        """Two replicas that share a task queue, neither of them started."""
        together = {**self.settings, "temporal_task_queue": uuid.uuid4().hex, **settings}
        one, two = Replica(self.folder, together), Replica(self.folder, together)
        self.replicas += [one, two]
        return one, two

    def tenant_pair(self, **settings: Any) -> tuple[Replica, Replica]:
        """Two replicas of TenantService, neither of them started."""
        only_pipelines = ("configs_dir", "temporal_address")
        own = {name: value for name, value in self.settings.items() if name not in only_pipelines} | settings
        one, two = (Replica(self.folder, own, serve=serve_tenants) for _ in range(2))
        self.replicas += [one, two]
        return one, two

    async def onboard(self, *, export: bool = True) -> Tenant:
        """A new tenant."""
        tenant_id, metadata = await onboard(self.warehouse, self.tenants, export=export)
        return Tenant(tenant_id, metadata[0][1])

    async def stages(self, tenant: Tenant) -> list[str]:
        """The staging tables that the tenant's dataset holds."""
        tables = await self.warehouse.list_tables(tenant.tenant_id)
        return [ref.table for ref in tables if ref.table.startswith("_stage_")]


@asynccontextmanager
async def installation(
    folder: Path, warehouse: Warehouse, server: LocalServer | BigQueryStub, temporal_address: str
) -> AsyncIterator[Installation]:
    """Start it, over the warehouse that `server` serves; stop it, and every replica."""
    if isinstance(server, BigQueryStub):
        place: dict[str, Any] = {
            "warehouse": "bigquery",
            "bigquery_endpoint": server.address.removeprefix("http://"),
            "project": server.project,
        }
    else:
        token_file = folder / "warehouse-token"
        token_file.touch(mode=0o600)
        token_file.write_text(server.token.reveal())
        place = {"warehouse": "local", "warehouse_address": server.address, "warehouse_token_file": token_file}
        place["project"] = "local"
    async with (
        emulator(folder / "kms") as kms_address,
        tenant_stack(folder, warehouse, kms_address=kms_address, project=place["project"]) as tenants,
    ):
        settings = {
            "configs_dir": configs_with(folder, LASTING),
            "GCP_KMS_KEY_NAME": KEY,
            "kms_endpoint": kms_address,
            "kms_token_file": folder / "kms-token",
            "admin_key_hashes": (digest_of(ADMIN),),
            "temporal_address": temporal_address,
            "shutdown_grace_seconds": 0,
            **place,
        }
        running = Installation(
            folder, warehouse, server if isinstance(server, BigQueryStub) else None, tenants, settings
        )
        try:
            yield running
        finally:
            for replica in running.replicas:
                await replica.stop()


@asynccontextmanager
async def caller(
    tenant: Tenant, *replicas: Replica, patience_seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[Patient]:
    """The tenant, who asks the replicas in turn, and whichever is there while others are away."""
    target = "ipv4:" + ",".join(replica.address for replica in replicas)
    options = (*RECONNECT, ("grpc.service_config", ROUND_ROBIN), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        yield Patient(channel, channel, tenant.key, patience_seconds)
