"""The connection to Temporal: waits for the cluster, and makes the namespace where it is ours to make."""

import asyncio
from datetime import timedelta
from pathlib import Path

import structlog
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client, TLSConfig
from temporalio.service import RPCStatusCode

from common.secret import Secret, read_secret_file
from pipeline_service.temporal_calls import unless_answered, unless_not_found
from pipeline_service.temporal_payloads import DATA_CONVERTER
from pipeline_service.temporal_settings import TemporalSettings

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_CALL_TIMEOUT = timedelta(seconds=10)

_log = structlog.get_logger(__name__)


async def open_client(settings: TemporalSettings) -> Client:
    """A client for the cluster that the settings describe. Raises OSError and ValueError for files that they name."""
    api_key = read_secret_file(settings.temporal_api_key_file) if settings.temporal_api_key_file else None
    client = await connect(
        settings.temporal_address, namespace=settings.temporal_namespace, tls=_tls(settings), api_key=api_key
    )
    if settings.temporal_retention_days is not None:
        await _ensure_namespace(client, timedelta(days=settings.temporal_retention_days))
    return client


async def connect(
    address: str, *, namespace: str, tls: TLSConfig | None = None, api_key: Secret | None = None
) -> Client:
    """Connect to Temporal, waiting for it as long as it is away: a worker needs a connection to begin with."""
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await Client.connect(
                address,
                namespace=namespace,
                tls=tls or False,
                api_key=api_key.reveal() if api_key else None,
                data_converter=DATA_CONVERTER,
            )
        except RuntimeError as error:  # what the SDK raises for a server that is not there
            _log.warning("run engine is away", address=address, error=type(error).__name__)
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def _tls(settings: TemporalSettings) -> TLSConfig | None:
    if not settings.temporal_tls:
        return None
    key_file = settings.temporal_tls_key_file
    return TLSConfig(
        server_root_ca_cert=_content(settings.temporal_tls_ca_file),
        domain=settings.temporal_tls_server_name,
        client_cert=_content(settings.temporal_tls_certificate_file),
        client_private_key=read_secret_file(key_file).reveal().encode() if key_file else None,
    )


def _content(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


async def _ensure_namespace(client: Client, retention: timedelta) -> None:
    """Make the namespace where there is none. One that exists is left as it is. Raises RPCError where the cluster refuses."""
    service = client.workflow_service
    describe = DescribeNamespaceRequest(namespace=client.namespace)
    register = RegisterNamespaceRequest(namespace=client.namespace)
    register.workflow_execution_retention_period.FromTimedelta(retention)
    async with unless_not_found():
        await service.describe_namespace(describe, retry=True, timeout=_CALL_TIMEOUT)
        return
    async with unless_answered(RPCStatusCode.ALREADY_EXISTS):  # another process of ours was first
        await service.register_namespace(register, retry=True, timeout=_CALL_TIMEOUT)
    _log.info("made the namespace", namespace=client.namespace, retention_days=retention.days)
