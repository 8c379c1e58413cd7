"""Wires TenantService. Alone names the concrete adapters."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Protocol

from common.api_keys.changes import KeyChanges
from common.api_keys.store import KeyStore
from common.audit import AUDIT_TABLE, AuditLog
from common.authentication import open_directory, open_usage, open_verifier
from common.clock import Clock, SystemClock
from common.credentials.changes import CredentialChanges
from common.credentials.kinds import Acceptance
from common.credentials.store import CredentialStore
from common.encryption.cipher import Cipher, Context
from common.encryption.kms import connect
from common.rpc.server import Server
from common.rpc.tls import RenewedChannel
from common.rpc.tls_files import RenewedTls, TlsFiles
from common.telemetry.caches import tell_lookups
from common.telemetry.open import open_telemetry
from common.telemetry.telemetry import Telemetry
from common.templates.onboarding import load_onboarding_template
from common.tenants.tenant import MARK
from common.warehouse.effects import Effects
from common.warehouse.open import open_warehouse, traced
from common.warehouse.warehouse import Warehouse
from convergence.tenant.v1.tenant_service_pb2_grpc import add_TenantServiceServicer_to_server
from tenant_service.acts import Acts
from tenant_service.claim import Claims
from tenant_service.create_key import CreateKey
from tenant_service.delete_credential import DeleteCredential
from tenant_service.delete_tenant import DeleteTenant, RunCanceller
from tenant_service.dry_run import DryRun, PipelineRunner
from tenant_service.encrypt_anew import EncryptAnew
from tenant_service.get_tenant import GetTenant
from tenant_service.key_view import RotationPolicy
from tenant_service.list_audit_records import ListAuditRecords
from tenant_service.list_credentials import ListCredentials
from tenant_service.list_keys import ListKeys
from tenant_service.list_tenants import ListTenants
from tenant_service.migrate_tenants import MigrateTenants
from tenant_service.minting import Minting
from tenant_service.onboard import Onboard
from tenant_service.pipeline_client import PipelineClient
from tenant_service.put_credential import PutCredential
from tenant_service.revoke_key import RevokeKey
from tenant_service.rewrap_secrets import RewrapSecrets
from tenant_service.rotate_key import RotateKey
from tenant_service.schema import Schema
from tenant_service.servicer import TenantServicer, UseCases
from tenant_service.set_sources import SetSources
from tenant_service.settings import TenantServiceSettings
from tenant_service.stored_secrets import StoredSecrets
from tenant_service.suspend_tenant import ResumeTenant, SuspendTenant

SERVICE_NAME = "convergence.tenant.v1.TenantService"
ROUND_ROBIN = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')
"""Call the replicas behind a name in turn, not one of them alone."""


@asynccontextmanager
async def tenant_server(settings: TenantServiceSettings) -> AsyncIterator[Server]:
    """The server, wired and not yet started. Closes every connection at the end."""
    async with AsyncExitStack() as stack:
        telemetry = await stack.enter_async_context(open_telemetry(settings, service="tenant_service"))
        warehouse = open_warehouse(settings)
        stack.push_async_callback(warehouse.close)
        cipher = connect(settings)
        stack.push_async_callback(cipher.close)
        channel = pipeline_channel(settings)
        stack.push_async_callback(channel.close)
        runner = PipelineClient(channel.get, bound_seconds=settings.auth_bound_seconds)
        yield wire(
            settings, warehouse=warehouse, cipher=cipher, runner=runner, clock=SystemClock(), telemetry=telemetry
        )


def pipeline_channel(settings: TenantServiceSettings) -> RenewedChannel:
    """The way to PipelineService. Connects at the first call. Raises ValueError for TLS files that do not do."""
    files = TlsFiles(
        settings.pipeline_service_tls_certificate_file,
        settings.pipeline_service_tls_key_file,
        authorities=settings.pipeline_service_tls_ca_file,
    )
    return RenewedChannel(
        settings.pipeline_service_address,
        tls=RenewedTls(files) if settings.pipeline_service_tls else None,
        server_name=settings.pipeline_service_tls_server_name,
        options=[ROUND_ROBIN],
    )


class Pipelines(PipelineRunner, RunCanceller, Protocol):
    """All that TenantService asks of PipelineService."""


def wire(
    settings: TenantServiceSettings,
    *,
    warehouse: Warehouse,
    cipher: Cipher,
    runner: Pipelines,
    clock: Clock,
    telemetry: Telemetry | None = None,
) -> Server:
    """The server over these adapters; `telemetry` is None where nobody is to be told what goes on.

    Raises DoesNotLoad for an onboarding template that does not load.
    """
    template = load_onboarding_template(settings.configs_dir)
    warehouse = traced(warehouse, settings, telemetry)
    effects = Effects(warehouse, clock)
    audit = AuditLog(warehouse, effects, template.tables[AUDIT_TABLE], clock)
    schema = Schema(warehouse, template.tables, template.schema_version)
    acts = Acts(warehouse, audit, schema)
    usage = open_usage(settings, warehouse, clock)
    directory = open_directory(settings, warehouse, clock)
    verifier = open_verifier(settings, warehouse, directory, usage, clock)
    tell_lookups(telemetry, {"tenants": directory.lookups, "keys": verifier.lookups})
    keys = KeyStore(warehouse)
    changes = KeyChanges(effects, clock, verifier.forget)
    minting = Minting(keys=keys, changes=changes, cipher=cipher, clock=clock)
    policy = RotationPolicy(max_age_days=settings.key_max_age_days, clock=clock)
    credentials = CredentialStore(warehouse)
    credential_changes = CredentialChanges(effects, clock)
    use_cases = UseCases(
        onboard=Onboard(
            warehouse=warehouse,
            own_project=settings.project,
            template=template,
            claims=Claims(warehouse, clock),
            minting=minting,
            dry_run=DryRun(runner, template.dry_run, clock),
            effects=effects,
            audit=audit,
            schema=schema,
        ),
        get_tenant=GetTenant(warehouse),
        set_sources=SetSources(warehouse=warehouse, own_project=settings.project, acts=acts, effects=effects),
        list_tenants=ListTenants(warehouse),
        suspend_tenant=SuspendTenant(warehouse=warehouse, acts=acts),
        resume_tenant=ResumeTenant(warehouse=warehouse, acts=acts),
        delete_tenant=DeleteTenant(
            warehouse=warehouse, schema=schema, audit=audit, runs=runner, states_changed=directory.forget
        ),
        migrate_tenants=MigrateTenants(warehouse=warehouse, schema=schema, audit=audit),
        rewrap_secrets=RewrapSecrets(
            warehouse=warehouse,
            secrets=StoredSecrets(warehouse, effects),
            encrypt_anew=EncryptAnew(cipher),
            schema=schema,
            audit=audit,
        ),
        create_key=CreateKey(acts=acts, minting=minting, policy=policy, clock=clock),
        rotate_key=RotateKey(
            warehouse=warehouse,
            acts=acts,
            keys=keys,
            changes=changes,
            minting=minting,
            policy=policy,
            clock=clock,
        ),
        revoke_key=RevokeKey(acts=acts, keys=keys, changes=changes, policy=policy),
        list_keys=ListKeys(warehouse=warehouse, keys=keys, policy=policy),
        put_credential=PutCredential(
            acts=acts,
            acceptance=Acceptance(token_uris=settings.credential_token_uris, kms_max_bytes=settings.kms_max_bytes),
            credentials=credentials,
            changes=credential_changes,
            cipher=cipher,
        ),
        list_credentials=ListCredentials(warehouse=warehouse, credentials=credentials),
        delete_credential=DeleteCredential(acts=acts, credentials=credentials, changes=credential_changes),
        list_audit_records=ListAuditRecords(warehouse, schema),
    )

    return Server(
        settings,
        services={SERVICE_NAME: partial(add_TenantServiceServicer_to_server, TenantServicer(use_cases))},
        authenticator=verifier,
        dependencies={
            "warehouse": partial(warehouse.list_datasets, label=MARK),
            "kms": partial(cipher.encrypt_value, "probe", Context("convergence", "health", "probe", "probe")),
        },
        beside=usage.flushing(),
        clock=clock,
        telemetry=telemetry,
    )
