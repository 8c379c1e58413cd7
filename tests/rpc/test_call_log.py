"""One line for every call, of whatever kind and however it ends; and its correlation id reaches the caller and the other service."""

import asyncio
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from structlog.testing import capture_logs

from common.secret import Secret
from tenant_service.bootstrap import pipeline_channel
from tenant_service.pipeline_client import PipelineClient
from tests.rpc.fake_pipelines import fake_pipelines
from tests.rpc.statuses import outcome_of, refusal_of
from tests.rpc.tenant_stack import settings_for
from tests.rpc.test_interceptors import GOOD, KINDS, POOR, SERVICE, call, serving
from tests.waiting import until

Logs = list[MutableMapping[str, Any]]
SECRETS = (GOOD, POOR, "secret detail", "very-secret-payload")


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


def lines(logs: Logs) -> Logs:
    return [line for line in logs if line["event"] == "call"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_of_every_kind_has_one_line_that_says_who_what_and_how_long(logs: Logs, kind: str) -> None:
    async with serving() as channel:
        await call(channel, kind, b"very-secret-payload", ("x-api-key", GOOD), ("x-correlation-id", "abc"))
    (line,) = lines(logs)
    assert line.pop("duration_ms") > 0
    assert line == {
        "event": "call",
        "log_level": "info",
        "method": f"/{SERVICE}/{kind}",
        "status": "OK",
        "principal": "key_1",
        "tenant_id": "acme",
        "correlation_id": "abc",
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("request_text", "key", "expected"),
    [
        (b"", "nobody's", ("UNAUTHENTICATED", "API_KEY_INVALID")),
        (b"", POOR, ("PERMISSION_DENIED", "SCOPE_MISSING")),
        (b"invalid", GOOD, ("INVALID_ARGUMENT", "FIELD_INVALID")),
        (b"\xff", GOOD, ("INVALID_ARGUMENT", "FIELD_INVALID")),
        (b"unforeseen", GOOD, ("INTERNAL", None)),
    ],
)
async def test_a_refused_call_has_one_line_with_its_reason_and_no_secret(
    logs: Logs, kind: str, request_text: bytes, key: str, expected: tuple[str, str | None]
) -> None:
    async with serving() as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, kind, request_text, ("x-api-key", key))
    (line,) = lines(logs)
    assert (line["status"], line.get("reason")) == expected
    assert line["correlation_id"]
    assert not any(secret in repr(line) for secret in (*SECRETS, "nobody's"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("timeout", "status"), [(60.0, "CANCELLED"), (0.3, "DEADLINE_EXCEEDED")])
async def test_a_call_that_its_caller_gives_up_has_one_line_that_says_so(
    logs: Logs, kind: str, timeout: float, status: str
) -> None:
    async with serving() as channel:
        method = getattr(channel, kind)(f"/{SERVICE}/{kind}")
        argument: Any = iter([b"wait"]) if kind.startswith("stream") else b"wait"
        started = method(argument, metadata=(("x-api-key", GOOD),), timeout=timeout)
        ending = asyncio.create_task(outcome_code(started))
        if status == "CANCELLED":
            await until(lambda: any(line["event"] == "waiting" for line in logs))
            started.cancel()
        assert await ending == status
        await until(lambda: lines(logs))
    (line,) = lines(logs)
    assert (line["status"], line["principal"], line["tenant_id"]) == (status, "key_1", "acme")


async def to_its_end(started: Any) -> None:
    if not hasattr(started, "__aiter__"):
        await started
        return
    async for _ in started:
        pass


async def outcome_code(started: Any) -> str:
    try:
        await to_its_end(started)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    except asyncio.CancelledError:
        return "CANCELLED"
    return "OK"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_method_that_there_is_not_is_refused_logged_and_carries_the_correlation_id(
    logs: Logs, kind: str
) -> None:
    async with fake_pipelines() as fake:
        for method in ("/convergence.pipeline.v1.PipelineService/Nothing", f"/no.Such/{'x' * 1000}"):
            argument: Any = iter([b""]) if kind.startswith("stream") else b""
            started = getattr(fake.channel, kind)(method)(argument, metadata=(("x-correlation-id", "abc"),))
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await to_its_end(started)
            assert told.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert told.value.details() == "There is no such method"
            assert refusal_of(told.value).reason == "METHOD_UNKNOWN"
            assert dict(told.value.trailing_metadata())["x-correlation-id"] == "abc"
    assert [
        (line["status"], line["reason"], line["correlation_id"], len(line["method"]) <= 200) for line in lines(logs)
    ] == [("UNIMPLEMENTED", "METHOD_UNKNOWN", "abc", True)] * 2


async def test_calls_that_limits_refuse_are_logged_too(logs: Logs) -> None:
    async with fake_pipelines(call_burst_per_key=1, calls_per_second_per_key=0.001) as fake:
        assert await outcome_of(fake.call()) == ("OK", "")
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await fake.call()
        assert "x-correlation-id" in dict(told.value.trailing_metadata())
        assert refusal_of(told.value).reason == "RATE_LIMITED"
    assert [(line["status"], line.get("reason"), line["principal"]) for line in lines(logs)] == [
        ("OK", None, "key_1"),
        ("RESOURCE_EXHAUSTED", "RATE_LIMITED", "key_1"),
    ]


async def test_tenant_service_passes_the_correlation_id_on_to_pipeline_service(tmp_path: Path) -> None:
    async with fake_pipelines() as fake:
        address = f"127.0.0.1:{fake.server.port}"
        channel = pipeline_channel(settings_for(tmp_path, "127.0.0.1:1", pipeline_service_address=address))
        client = PipelineClient(channel.get, bound_seconds=1.0)
        with structlog.contextvars.bound_contextvars(correlation_id="of-the-onboarding"):
            await client.cancel_runs(Secret("good"), "acme")
        await client.cancel_runs(Secret("good"), "acme")
        await channel.close()
    first, second = [metadata.get("x-correlation-id") for metadata in fake.pipelines.metadata]
    assert (first, second) == ("of-the-onboarding", None)
