"""TenantService on a real port, over a warehouse that the test names, a real KMS emulator and a runner that the test scripts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from common.api_keys.hashing import digest_of
from common.api_keys.key import mint_admin
from common.clock import Clock, SystemClock
from common.encryption.kms import CloudKms, connect
from common.errors import Unavailable
from common.secret import Secret
from common.templates.template import TemplateName
from common.warehouse.warehouse import Warehouse
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tenant_service.bootstrap import wire
from tenant_service.delete_tenant import RunCanceller
from tenant_service.settings import TenantServiceSettings
from tests.local_kms import KEY, TOKEN, emulator

ADMIN = mint_admin()


@dataclass
class ScriptedRunner:
    """A PipelineService that answers what the test says, and notes who asked."""

    outcome: bool | Exception = field(default_factory=lambda: Unavailable("away"))
    calls: list[tuple[str, str]] = field(default_factory=list)
    canceller: RunCanceller | None = None
    """What ends runs; away while there is none."""

    async def run_to_end(self, api_key: Secret, tenant_id: str, template: TemplateName, *, date: str) -> bool:
        self.calls.append((tenant_id, api_key.reveal()))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def cancel_runs(self, admin_key: Secret, tenant_id: str) -> None:
        if self.canceller is None:
            raise Unavailable("away")
        await self.canceller.cancel_runs(admin_key, tenant_id)


@dataclass
class TenantStack:
    """A running TenantService and what it stands on."""

    stub: Any
    runner: ScriptedRunner
    cipher: CloudKms
    address: str

    @property
    def as_admin(self) -> Any:
        """Metadata of an admin."""
        return as_key(ADMIN.reveal())


def as_key(key: str) -> Any:
    """Metadata of a key's holder."""
    return (("x-api-key", key),)


def settings_for(folder: Path, kms_address: str, **options: Any) -> TenantServiceSettings:
    """Settings that reach the emulator at `kms_address`. `options` go before those here."""
    token_file = folder / "kms-token"
    token_file.touch(mode=0o600)
    token_file.write_text(TOKEN)
    values: dict[str, Any] = {
        "listen_address": "127.0.0.1:0",
        "project": "local",
        "admin_key_hashes": (digest_of(ADMIN),),
        "GCP_KMS_KEY_NAME": KEY,
        "kms_endpoint": kms_address,
        "kms_token_file": token_file,
        **options,
    }
    return TenantServiceSettings(_env_file=None, **values)


@asynccontextmanager
async def tenant_stack(
    folder: Path, warehouse: Warehouse, *, kms_address: str | None = None, clock: Clock | None = None, **options: Any
) -> AsyncIterator[TenantStack]:
    """Start TenantService, and a KMS where none is given; stop both. `options` go before the settings here."""
    async with nullcontext(kms_address) if kms_address else emulator(folder / "kms") as address:
        settings = settings_for(folder, address, **options)
        cipher = connect(settings)
        runner = ScriptedRunner()
        server = wire(settings, warehouse=warehouse, cipher=cipher, runner=runner, clock=clock or SystemClock())
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                yield TenantStack(TenantServiceStub(channel), runner, cipher, f"127.0.0.1:{server.port}")
        finally:
            await server.stop()
            await cipher.close()
