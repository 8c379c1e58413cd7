"""Every way in which a secret might reach the log, and the one pipeline for our events and the libraries'."""

import base64
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import grpc
import pytest
import structlog
from google.api_core.exceptions import PermissionDenied
from opentelemetry.util.re import parse_env_headers

from common import logs
from common.secret import Secret
from common.telemetry.telemetry import trace_id_in
from tests.local_kms import CALL, Fake, client_of
from tests.local_kms import KEY as KMS_KEY

KEY = "acmeinc_23xv2_api_0123456789abcDEF"
ADMIN_KEY = "convergence_admin_" + "0aB1" * 8
SECRET_PARTS = ("0123456789abcDEF", "0aB1" * 8)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, google = logging.getLogger(), logging.getLogger("google")
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in (root, google)]
    root.handlers = []
    stream = io.StringIO()
    logs.configure(output="json", level="INFO", stream=stream)
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@dataclass
class Thing:
    """Something with a telling repr."""

    label: str


def _events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("secret", [KEY, ADMIN_KEY])
@pytest.mark.parametrize(
    "log",
    [
        pytest.param(lambda log, s: log.info(s), id="event"),
        pytest.param(lambda log, s: log.info("refused %s", s), id="argument"),
        pytest.param(lambda log, s: log.info("x", value=s), id="value"),
        pytest.param(lambda log, s: log.info("x", value=f"?key={s}&x=1"), id="inside a longer string"),
        pytest.param(lambda log, s: log.info("x", value=f"{s}{s}"), id="twice in a row"),
        pytest.param(lambda log, s: log.info("x", value={"a": [{"b": (s,)}]}), id="nested"),
        pytest.param(lambda log, s: log.info("x", value={s: 1}), id="nested name"),
        pytest.param(lambda log, s: log.info("x", **{s: 1}), id="name"),
        pytest.param(lambda log, s: log.info("x", value={s}), id="set"),
        pytest.param(lambda log, s: log.info("x", value=s.encode()), id="bytes"),
        pytest.param(lambda log, s: log.info("x", value=Thing(s)), id="repr of an object"),
        pytest.param(lambda log, s: log.info("x", value=ValueError(s)), id="exception as a value"),
        pytest.param(lambda log, s: log.error("x", exc_info=ValueError(s)), id="exception"),
        pytest.param(lambda log, s: log.info("x", stack_info=True, value=s), id="with a stack"),
        pytest.param(lambda _, s: logging.getLogger("grpc").warning("refused %s", s), id="logging"),
        pytest.param(lambda _, s: logging.getLogger("google").warning("x", extra={"value": s}), id="logging extra"),
        pytest.param(lambda _, s: logging.getLogger("x").error("x", exc_info=ValueError(s)), id="logging exception"),
    ],
)
def test_an_api_key_is_masked_wherever_it_stands(
    stream: io.StringIO, log: Callable[[Any, str], None], secret: str
) -> None:
    log(structlog.get_logger("test"), secret)
    written = stream.getvalue()
    assert logs.REDACTED in written
    assert not any(part in written for part in SECRET_PARTS)
    assert len(_events(stream)) == 1


def test_an_api_key_in_the_cause_of_an_exception_is_masked(stream: io.StringIO) -> None:
    def fail() -> None:
        try:
            raise ValueError(KEY)
        except ValueError as error:
            error.add_note(f"while reading {ADMIN_KEY}")
            raise RuntimeError("failed") from error

    try:
        fail()
    except RuntimeError:
        structlog.get_logger("test").exception("failed")
    (event,) = _events(stream)
    assert "ValueError" in event["exception"]
    assert "RuntimeError: failed" in event["exception"]
    assert not any(part in stream.getvalue() for part in SECRET_PARTS)


def test_local_variables_of_an_exception_are_not_shown(stream: io.StringIO) -> None:
    def fail(credential: str) -> None:
        raise ValueError(len(credential))

    try:
        fail("plain" + "text")
    except ValueError:
        structlog.get_logger("test").exception("failed")
    assert "plaintext" not in stream.getvalue()


@pytest.mark.parametrize(
    "name",
    "api_key x-api-key apiKey authorization Authorization token page_token secret client_secret password request_id "
    "private_key PRIVATE-KEY".split(),
)
def test_what_goes_by_a_sensitive_name_is_masked_whatever_it_is(stream: io.StringIO, name: str) -> None:
    log = structlog.get_logger("test")
    log.info("x", **{name: "plain-text"})
    log.info("x", value={"deep": [{name: ["plain-text"]}]})
    log.info("x", metadata=((name, "plain-text"), ("other", "shown")))
    logging.getLogger("lib").warning("x", extra={name: "plain-text"})
    assert len(_events(stream)) == 4
    assert "plain-text" not in stream.getvalue()
    assert "shown" in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer plain-text",
        "metadata(('authorization', 'bearer plain-text'),)",
        "-----BEGIN PRIVATE KEY-----\nplain-text\n-----END PRIVATE KEY-----",
        r'{"k": "-----BEGIN RSA PRIVATE KEY-----\nplain-text"}',
    ],
)
def test_tokens_and_private_keys_are_masked_by_their_shape(stream: io.StringIO, text: str) -> None:
    structlog.get_logger("test").info("x", value=text)
    assert "plain-text" not in stream.getvalue()


def test_a_secret_is_masked_by_its_type(stream: io.StringIO) -> None:
    structlog.get_logger("test").info("x", value=Secret("plain-text"), nested=[{"a": Secret("plain-text")}])
    (event,) = _events(stream)
    assert event["value"] == logs.REDACTED
    assert event["nested"] == [{"a": logs.REDACTED}]


def test_bound_context_is_masked_too(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(tenant_id="acmeinc_23xv2", caller=KEY):
        structlog.get_logger("test").info("x")
        logging.getLogger("lib").warning("y")
    for event in _events(stream):
        assert event["tenant_id"] == "acmeinc_23xv2"
        assert event["caller"] == "acmeinc_23xv2_api_[redacted]"


def test_what_is_no_secret_is_left_as_it_is(stream: io.StringIO) -> None:
    values = {
        "tenant_id": "acmeinc_23xv2",
        "rows": 3,
        "milliseconds": 1.5,
        "ok": True,
        "nothing": None,
        "names": ["api_keys", "cost_daily"],
        "short": "acme_api_0123456789",
        "token": "",
    }
    structlog.get_logger("test").info("run finished", when=date(2025, 11, 15), **values)
    (event,) = _events(stream)
    assert {name: event[name] for name in values} == values
    assert event["when"] == "2025-11-15"


def test_a_value_that_holds_itself_is_logged_all_the_same(stream: io.StringIO) -> None:
    loop: dict[str, Any] = {"key": KEY}
    loop["itself"] = loop
    structlog.get_logger("test").info("x", value=loop)
    assert len(_events(stream)) == 1
    assert not any(part in stream.getvalue() for part in SECRET_PARTS)


def test_a_long_text_is_searched_in_linear_time() -> None:
    text = "a_api_" * 200_000
    assert logs.redact(None, "info", {"event": text}) == {"event": text}


def test_our_events_and_the_libraries_look_the_same(stream: io.StringIO) -> None:
    structlog.get_logger("ours").warning("x")
    logging.getLogger("theirs").warning("x")
    ours, theirs = _events(stream)
    assert ours.keys() == theirs.keys() == {"event", "logger", "level", "timestamp"}
    assert (ours["logger"], theirs["logger"]) == ("ours", "theirs")
    for event in (ours, theirs):
        assert event["level"] == "warning"
        assert event["timestamp"].endswith("Z")
        assert datetime.fromisoformat(event["timestamp"]).tzinfo == UTC


def test_events_below_the_level_are_not_written(stream: io.StringIO) -> None:
    structlog.get_logger("ours").debug("x")
    logging.getLogger("theirs").debug("x")
    assert stream.getvalue() == ""


async def test_what_kms_encrypts_is_not_logged_at_any_level(stream: io.StringIO) -> None:
    fake = Fake(answer=lambda _: grpc.StatusCode.PERMISSION_DENIED)
    async with fake.serving(), client_of(fake.address) as client:
        logs.configure(output="json", level="DEBUG", stream=stream)
        with pytest.raises(PermissionDenied):
            await client.encrypt(name=KMS_KEY, plaintext=b"plain-text", **CALL)
    assert len(fake.requests) == 1
    assert "plain-text" not in stream.getvalue()
    assert base64.b64encode(b"plain-text").decode() not in stream.getvalue()


def test_what_a_caller_says_of_its_trace_is_not_logged_where_it_is_malformed(stream: io.StringIO) -> None:
    for trace_state in (f"{KEY} = {KEY}", KEY * 300, "a=b" + " " * 8000 + KEY):
        trace_id_in(
            {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": trace_state}
        )
        trace_id_in({"traceparent": trace_state * 10})
    assert stream.getvalue() == ""


def test_headers_for_a_receiver_of_telemetry_are_not_logged_where_they_are_malformed(stream: io.StringIO) -> None:
    for liberal in (False, True):
        assert parse_env_headers("x-otlp-key:hunter2secret", liberal) == {}
    assert stream.getvalue() == ""


def test_warnings_are_logged(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"old key {KEY}", stacklevel=1)
    (event,) = _events(stream)
    assert event["logger"] == "py.warnings"
    assert SECRET_PARTS[0] not in stream.getvalue()


def test_the_console_shows_events_for_people_and_masks_the_same(stream: io.StringIO) -> None:
    logs.configure(output="console", stream=stream)
    structlog.get_logger("ours").error("run failed", key=KEY, exc_info=ValueError(ADMIN_KEY))
    logging.getLogger("theirs").warning("refused %s", KEY)
    written = stream.getvalue()
    assert "run failed" in written
    assert "ValueError: convergence_admin_[redacted]" in written
    assert not any(part in written for part in SECRET_PARTS)
