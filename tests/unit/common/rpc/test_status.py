"""The one table from errors to statuses: total, and without a leak."""

import base64
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2

from common import errors
from common.rpc.status import status_code, to_status
from convergence.errors.v1 import error_reason_pb2


def ours(cls: type[errors.ConvergenceError]) -> set[type[errors.ConvergenceError]]:
    """The tree of common.errors."""
    return {cls}.union(*(ours(sub) for sub in cls.__subclasses__() if sub.__module__ == errors.__name__))


@pytest.mark.parametrize("cls", sorted(ours(errors.ConvergenceError), key=str))
def test_every_error_has_a_status_of_its_own_and_a_reason_that_the_protos_know(
    cls: type[errors.ConvergenceError],
) -> None:
    assert cls.reason in error_reason_pb2.ErrorReason.keys()
    mapped = (errors.Transient, errors.AccessRefused)
    for_use_cases_only = issubclass(cls, errors.WarehouseError) and not issubclass(cls, mapped)
    unforeseen = cls is errors.ConvergenceError or for_use_cases_only
    assert (status_code(cls.__new__(cls)) is grpc.StatusCode.INTERNAL) == unforeseen


def test_what_nobody_foresaw_says_nothing_but_an_error_id() -> None:
    status = to_status(RuntimeError("table secret_table"), error_id="abc")
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret_table" not in str(status)
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == ("INTERNAL", "convergence", {"error_id": "abc"})


def test_a_warehouse_failure_that_a_use_case_let_through_says_nothing_of_the_statement() -> None:
    status = to_status(errors.Terminal("syntax error at api_keys"), error_id="abc")
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "api_keys" not in str(status)


def test_an_invalid_request_lists_every_violation_at_once() -> None:
    status = to_status(
        errors.InvalidInput([errors.Violation("date", "is no day"), errors.Violation("tenant_id", "is empty")]),
        error_id="",
    )
    bad_request = error_details_pb2.BadRequest()
    status.details[1].Unpack(bad_request)
    assert [violation.field for violation in bad_request.field_violations] == ["date", "tenant_id"]


@pytest.mark.parametrize("error", [errors.Unavailable("away", retry_delay_seconds=2.5), errors.Transient("away")])
def test_unavailable_says_when_to_repeat(error: errors.ConvergenceError) -> None:
    status = to_status(error, error_id="")
    assert status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    retry_info = error_details_pb2.RetryInfo()
    assert status.details[-1].Unpack(retry_info)
    assert retry_info.retry_delay.ToTimedelta().total_seconds() in (2.5, 1.0)


def test_a_call_that_lost_against_another_may_be_repeated_and_says_when() -> None:
    status = to_status(errors.ConcurrentChange(), error_id="")
    info, retry_info = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, info.reason) == (grpc.StatusCode.ABORTED.value[0], "CONCURRENT_CHANGE")
    assert status.details[-1].Unpack(retry_info)
    assert retry_info.retry_delay.ToTimedelta().total_seconds() == 0.5


@pytest.mark.parametrize("seconds", [0.5, 0.1, 1 / 3, 12.000000001])
def test_over_a_limit_says_after_how_long_and_never_too_short(seconds: float) -> None:
    for error in (
        errors.RateLimited("often", retry_delay_seconds=seconds),
        errors.Overloaded(retry_delay_seconds=seconds),
    ):
        status = to_status(error, error_id="")
        assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        retry_info = error_details_pb2.RetryInfo()
        assert status.details[-1].Unpack(retry_info)
        told = retry_info.retry_delay.seconds + retry_info.retry_delay.nanos / 1e9
        assert seconds <= told < seconds + 2e-9


@pytest.mark.parametrize("text", ["is bad", "x" * 10_000, "é" * 10_000])
def test_a_refusal_always_fits_into_what_a_caller_takes_as_metadata(text: str) -> None:
    violations = [errors.Violation(f"parameters.{text[:100]}{number}", text) for number in range(1000)]
    status = to_status(errors.InvalidInput(violations, metadata={"nearest": text}), error_id="")
    on_the_wire = len(base64.b64encode(status.SerializeToString())) + len(quote(status.message))
    assert on_the_wire < 8192
    bad_request = error_details_pb2.BadRequest()
    status.details[1].Unpack(bad_request)
    assert bad_request.field_violations[-1].description == f"and {1000 - len(bad_request.field_violations) + 1} more"
