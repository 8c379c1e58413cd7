"""How a process is told of its Temporal cluster: what it refuses, what it makes of it, and that it makes its namespace once."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from pipeline_service.temporal_connection import open_client
from pipeline_service.temporal_settings import TemporalSettings

AWAY = "temporal.example:7233"


def settings(**values: Any) -> TemporalSettings:
    return TemporalSettings(_env_file=None, **values)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"temporal_address": AWAY}, "temporal_tls"),
        ({"temporal_address": "nowhere"}, "temporal_address"),
        ({"temporal_tls_ca_file": Path("ca.pem")}, "temporal_tls_ca_file"),
        ({"temporal_api_key_file": Path("key")}, "temporal_api_key_file"),
        ({"temporal_tls": True, "temporal_tls_certificate_file": Path("own.pem")}, "temporal_tls_key_file"),
        ({"temporal_tls": True, "temporal_tls_key_file": Path("own.key")}, "temporal_tls_key_file"),
        ({"temporal_retention_days": 0}, "temporal_retention_days"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_setting_that_mends_it(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        settings(**values)
    assert [error["loc"] for error in refusal.value.errors()] == [(field,)]


def test_a_cluster_elsewhere_is_spoken_to_with_tls_or_on_demand_without() -> None:
    assert settings(temporal_address=AWAY, temporal_tls=True).temporal_address == AWAY
    assert settings(temporal_address=AWAY, allow_plaintext=True).temporal_address == AWAY


async def test_a_key_file_that_others_may_read_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("an API key")
    key.chmod(0o644)
    with pytest.raises(ValueError, match="may be read by others"):
        await open_client(settings(temporal_address=AWAY, temporal_tls=True, temporal_api_key_file=key))


async def test_the_namespace_is_made_once_with_its_retention_whoever_comes_first(temporal_address: str) -> None:
    namespace = f"made-{uuid.uuid4().hex}"
    told = settings(temporal_address=temporal_address, temporal_namespace=namespace, temporal_retention_days=5)
    clients = await asyncio.gather(*(open_client(told) for _ in range(4)))
    again = await open_client(told.model_copy(update={"temporal_retention_days": 9}))
    described = await again.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    assert described.config.workflow_execution_retention_ttl.ToTimedelta().days == 5
    assert len(clients) == 4
