"""Every call is told to a receiver of OTLP, however it ends, and nothing secret with it. A receiver that fails costs no call anything."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from common.telemetry.open import open_telemetry
from common.telemetry.otlp import FLUSH_SECONDS
from common.telemetry.settings import TelemetrySettings
from common.telemetry.telemetry import Telemetry
from tests.certificates import Authority, pair_files
from tests.otlp_receiver import Receiver, receiver
from tests.rpc.bare_server import bare_server
from tests.rpc.fake_pipelines import fake_pipelines
from tests.rpc.statuses import outcome_of
from tests.rpc.test_call_log import lines, outcome_code
from tests.rpc.test_interceptors import GOOD, KINDS, POOR, SERVICE, call, serving
from tests.waiting import until

Logs = list[MutableMapping[str, Any]]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
SERVER = 2
"""SpanKind.SERVER in OTLP."""
LATE_SECONDS = 20.0
"""How late a busy machine may be."""


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


@pytest.fixture(autouse=True)
def _every_failure_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's exporters do not repeat what they have said within 20 seconds, be it in an earlier test."""
    monkeypatch.setattr(logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter"), "filters", [])


@pytest.fixture
def otlp() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@asynccontextmanager
async def telemetry_to(address: str | None, **options: Any) -> AsyncIterator[Telemetry]:
    settings = TelemetrySettings(_env_file=None, otlp_endpoint=address, metric_interval_seconds=3600, **options)
    async with open_telemetry(settings, service="tested") as telemetry:
        assert telemetry is not None
        yield telemetry


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_of_every_kind_goes_on_with_its_callers_trace_and_is_measured(
    logs: Logs, otlp: Receiver, kind: str
) -> None:
    async with telemetry_to(otlp.address) as telemetry, serving(telemetry) as channel:
        await call(channel, kind, b"very-secret-payload", ("x-api-key", GOOD), ("traceparent", TRACEPARENT))
    (span,) = otlp.spans
    assert (span.name, span.trace_id, span.parent_id, span.kind) == (f"{SERVICE}/{kind}", TRACE, PARENT, SERVER)
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/{kind}",
        "rpc.response.status_code": "OK",
        "convergence.tenant_id": "acme",
    }
    assert not span.is_error
    assert (span.resource["service.name"], span.resource["service.namespace"]) == ("tested", "convergence")
    (point,) = otlp.points
    assert (point.name, point.unit, point.count) == ("rpc.server.call.duration", "s", 1)
    assert point.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/{kind}",
        "rpc.response.status_code": "OK",
    }
    (line,) = lines(logs)
    assert line["trace_id"] == TRACE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("request_text", "key", "expected"),
    [
        (b"", "nobodys", ("UNAUTHENTICATED", "API_KEY_INVALID", False)),
        (b"", POOR, ("PERMISSION_DENIED", "SCOPE_MISSING", False)),
        (b"invalid", GOOD, ("INVALID_ARGUMENT", "FIELD_INVALID", False)),
        (b"unforeseen", GOOD, ("INTERNAL", None, True)),
    ],
)
async def test_a_refused_call_says_why_and_only_a_fault_of_the_server_is_an_error(
    otlp: Receiver, kind: str, request_text: bytes, key: str, expected: tuple[str, str | None, bool]
) -> None:
    status, reason, is_error = expected
    async with telemetry_to(otlp.address) as telemetry, serving(telemetry) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, kind, request_text, ("x-api-key", key))
    (span,) = otlp.spans
    assert (span.parent_id, span.is_error) == ("", is_error)
    assert span.attributes["rpc.response.status_code"] == status
    assert span.attributes["error.type"] == (reason or status)
    assert otlp.total("rpc.server.call.duration", rpc_response_status_code=status, error_type=status) == 1
    assert otlp.total("convergence.calls.refused", convergence_reason=reason) == (1 if reason else 0)
    assert not any(secret in otlp.everything for secret in (b"nobodys", POOR.encode(), GOOD.encode(), b"secret detail"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_its_caller_gives_up_is_told_of_as_such(logs: Logs, otlp: Receiver, kind: str) -> None:
    async with telemetry_to(otlp.address) as telemetry, serving(telemetry) as channel:
        argument: Any = iter([b"wait"]) if kind.startswith("stream") else b"wait"
        started = getattr(channel, kind)(f"/{SERVICE}/{kind}")(argument, metadata=(("x-api-key", GOOD),), timeout=60)
        ending = asyncio.create_task(outcome_code(started))
        await until(lambda: any(line["event"] == "waiting" for line in logs))
        started.cancel()
        assert await ending == "CANCELLED"
        await until(lambda: lines(logs))
    (span,) = otlp.spans
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"
    assert otlp.total("rpc.server.call.duration", rpc_response_status_code="CANCELLED") == 1


async def test_unknown_methods_share_one_name_and_health_is_not_told_of(otlp: Receiver) -> None:
    async with (
        telemetry_to(otlp.address) as telemetry,
        bare_server(telemetry=telemetry) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        for method in ("/no.Such/One", "/no.Such/Other"):
            unknown: Any = channel.unary_unary(method)
            with pytest.raises(grpc.aio.AioRpcError):
                await unknown(b"", timeout=20)
    assert [(span.name, span.attributes["rpc.method"]) for span in otlp.spans] == [("grpc", "_OTHER")] * 2
    assert otlp.total("rpc.server.call.duration", rpc_method="_OTHER", rpc_response_status_code="UNIMPLEMENTED") == 2


async def test_refusals_of_limits_are_counted_by_reason(otlp: Receiver) -> None:
    async with telemetry_to(otlp.address) as telemetry:
        limits = {"call_burst_per_key": 1, "calls_per_second_per_key": 0.001}
        async with fake_pipelines(telemetry=telemetry, **limits) as fake:
            assert [(await outcome_of(fake.call()))[0] for _ in range(3)] == ["OK", *["RESOURCE_EXHAUSTED"] * 2]
    assert otlp.total("convergence.calls.refused", convergence_reason="RATE_LIMITED", convergence_limit="key") == 2


async def test_of_a_server_that_is_full_and_of_one_tenant_that_has_its_share_it_is_told_which(otlp: Receiver) -> None:
    async with telemetry_to(otlp.address) as telemetry:
        limits = {"max_concurrent_calls": 2, "max_share_per_tenant": 0.5}
        async with fake_pipelines(telemetry=telemetry, **limits) as fake:
            fake.pipelines.open.clear()
            held = asyncio.create_task(outcome_of(fake.call("acme/1")))
            await until(lambda: fake.pipelines.at_work == 1)
            assert (await outcome_of(fake.call("acme/2")))[1] == "OVERLOADED"
            others = asyncio.create_task(outcome_of(fake.call("rival/1")))
            await until(lambda: fake.pipelines.at_work == 2)
            assert (await outcome_of(fake.call("third/1")))[1] == "OVERLOADED"
            fake.pipelines.open.set()
            await asyncio.gather(held, others)
    refused = [point.attributes for point in otlp.points if point.name == "convergence.calls.refused"]
    assert sorted(point.get("convergence.limit", "") for point in refused) == ["", "tenant"]
    assert {point["convergence.reason"] for point in refused} == {"OVERLOADED"}


@pytest.mark.parametrize("given", ["", "00", f"00-{TRACE}-{PARENT}", f"00-{'0' * 32}-{PARENT}-01", "x" * 5000])
async def test_a_malformed_trace_begins_a_new_one(logs: Logs, otlp: Receiver, given: str) -> None:
    async with telemetry_to(otlp.address) as telemetry, serving(telemetry) as channel:
        await call(channel, "unary_unary", b"", ("x-api-key", GOOD), ("traceparent", given))
    (span,) = otlp.spans
    assert span.parent_id == ""
    assert span.trace_id not in (TRACE, "0" * 32)
    (line,) = lines(logs)
    assert line["trace_id"] == span.trace_id


async def test_without_telemetry_the_log_still_names_the_callers_trace(logs: Logs) -> None:
    async with serving() as channel:
        await call(channel, "unary_unary", b"", ("x-api-key", GOOD), ("traceparent", TRACEPARENT))
        await call(channel, "unary_unary", b"", ("x-api-key", GOOD), ("traceparent", "00-nonsense"))
        await call(channel, "unary_unary", b"", ("x-api-key", GOOD))
    assert [line.get("trace_id") for line in lines(logs)] == [TRACE, None, None]


async def test_of_traces_that_begin_here_the_share_is_kept_and_of_callers_what_they_keep(otlp: Receiver) -> None:
    async with telemetry_to(otlp.address, trace_sample_ratio=0) as telemetry, serving(telemetry) as channel:
        await call(channel, "unary_unary", b"", ("x-api-key", GOOD))
        await call(channel, "unary_unary", b"", ("x-api-key", GOOD), ("traceparent", TRACEPARENT))
        dropped = TRACEPARENT.removesuffix("1") + "0"
        await call(channel, "unary_unary", b"", ("x-api-key", GOOD), ("traceparent", dropped))
    assert [span.parent_id for span in otlp.spans] == [PARENT]
    assert otlp.total("rpc.server.call.duration") == 3, "measurements are of every call"


@pytest.mark.parametrize("receiver_is", ["away", "hanging", "refusing"])
async def test_a_receiver_that_takes_nothing_fails_no_call_and_delays_the_end_by_its_bound_at_most(
    logs: Logs, otlp: Receiver, receiver_is: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if receiver_is == "away":
        otlp.stop()
    elif receiver_is == "hanging":
        monkeypatch.setattr("common.telemetry.otlp._EXPORT_SECONDS", 60.0)  # no export gives up before the test does
        otlp.hang()
    else:
        otlp.refuses = grpc.StatusCode.PERMISSION_DENIED
    async with telemetry_to(otlp.address) as telemetry, serving(telemetry) as channel:
        for _ in range(5):
            assert (await call(channel, "unary_unary", b"", ("x-api-key", GOOD)))[0] == b"key_1 of acme"
        ending = time.monotonic()
    assert time.monotonic() - ending < FLUSH_SECONDS + LATE_SECONDS
    assert otlp.spans == []
    if receiver_is == "refusing":
        told = [line for line in logs if line["event"] == "telemetry is not sent"]
        assert [(line["status"], line["endpoint"]) for line in told] == [("PERMISSION_DENIED", otlp.address)]
        assert "nobody's business" not in repr(logs)


async def test_a_receiver_goes_away_and_comes_back_and_the_log_says_so_once_each(
    logs: Logs, otlp: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(event: str) -> int:
        return sum(line["event"] == event for line in logs)

    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    otlp.refuses = grpc.StatusCode.UNIMPLEMENTED
    async with telemetry_to(otlp.address) as telemetry, serving(telemetry) as channel:

        async def calls_until(condition: Any) -> None:
            async with asyncio.timeout(LATE_SECONDS):
                while not condition():
                    await call(channel, "unary_unary", b"", ("x-api-key", GOOD))

        await calls_until(lambda: told("telemetry is not sent"))
        refused = len(logs)
        await calls_until(lambda: len(logs) > refused + 20)
        otlp.refuses = None
        await calls_until(lambda: otlp.spans)
        await until(lambda: told("telemetry is sent again"), LATE_SECONDS)
    assert (told("telemetry is not sent"), told("telemetry is sent again")) == (1, 1)


async def test_telemetry_goes_over_tls_to_whoever_the_authority_vouches_for(tmp_path: Any) -> None:
    authority, stranger = Authority("receivers"), Authority("stranger")
    pair = authority.issue()
    clients = pair_files(tmp_path, "client", authority.issue())
    credentials = grpc.ssl_server_credentials([(pair.key, pair.certificate)], authority.certificate, True)
    ca_file = tmp_path / "ca.crt"
    options = {"otlp_tls_certificate_file": clients.certificate, "otlp_tls_key_file": clients.key}
    with receiver(credentials=credentials) as otlp:
        for who, taken in ((stranger, 0), (authority, 1)):
            ca_file.write_bytes(who.certificate)
            async with telemetry_to(otlp.address, otlp_tls=True, otlp_tls_ca_file=ca_file, **options) as telemetry:
                telemetry.tracer.start_span("told").end()
            assert len(otlp.spans) == taken
