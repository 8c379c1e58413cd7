# mypy: disable-error-code="no-untyped-call"
"""BigQuery's errors by structured reason: the table is total, and what is unknown is Terminal."""

import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from common.errors import (
    AccessRefused,
    JobAborted,
    ObjectExists,
    ObjectNotFound,
    PreconditionLost,
    Terminal,
    Transient,
    WarehouseError,
)
from common.warehouse.bigquery_errors import VENDOR_ERRORS, VERDICTS, job_error, load_error, request_error

# https://cloud.google.com/bigquery/docs/error-messages, with what our limits and a lost precondition add.
DOCUMENTED = (
    "accessDenied backendError badRequest billingNotEnabled billingTierLimitExceeded blocked bytesBilledLimitExceeded duplicate "
    "internalError invalid invalidQuery jobBackendError jobInternalError jobRateLimitExceeded notFound notImplemented "
    "policyViolation quotaExceeded rateLimitExceeded resourceInUse resourcesExceeded responseTooLarge stopped tableUnavailable timeout"
).split()
PASSING = {
    *("backendError", "badGateway", "internalError", "jobBackendError", "jobInternalError", "tableUnavailable"),
    *("rateLimitExceeded", "jobRateLimitExceeded", "quotaExceeded"),
}

REFUSED = {reason for reason, verdict in VERDICTS.items() if verdict.reason == "DEPENDENCY_REFUSED"}


def answer(status: int, reason: str | None, message: str = "row value: secret") -> api.GoogleAPICallError:
    errors = [{"reason": reason, "message": message}] if reason else []
    error: api.GoogleAPICallError = api.from_http_status(status, message, errors=errors)
    return error


def test_every_documented_reason_has_a_verdict() -> None:
    assert set(DOCUMENTED) - set(VERDICTS) == {"badRequest"}, "an unknown reason is Terminal, and so is badRequest"
    assert {reason for reason, verdict in VERDICTS.items() if verdict.transient} == PASSING


@pytest.mark.parametrize("reason", sorted({*VERDICTS, *DOCUMENTED, "somethingNew"}))
def test_a_failed_job_is_aborted_for_a_passing_cause_and_terminal_otherwise(reason: str) -> None:
    error = job_error({"reason": reason, "message": "row value: secret"}, statement_type="SELECT")
    assert type(error) is (JobAborted if reason in PASSING else Terminal)
    assert "secret" not in f"{error} {error.metadata}"


@pytest.mark.parametrize("reason", sorted({*VERDICTS, *DOCUMENTED, "somethingNew"} - {"notFound", "duplicate"}))
def test_a_failed_request_is_transient_for_a_passing_cause_and_terminal_otherwise(reason: str) -> None:
    error = request_error(answer(400, reason))
    assert type(error) is (Transient if reason in PASSING else AccessRefused if reason in REFUSED else Terminal)
    assert "secret" not in f"{error} {error.metadata}"


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (404, "notFound", ObjectNotFound),
        (404, None, ObjectNotFound),
        (409, "duplicate", ObjectExists),
        (409, "alreadyExists", ObjectExists),
        (412, "conditionNotMet", PreconditionLost),
        (429, None, Transient),
        (502, None, Transient),
        (503, "somethingNew", Transient),
        (401, None, AccessRefused),
        (403, None, AccessRefused),
        (400, None, Terminal),
    ],
)
def test_the_status_decides_where_the_reason_says_nothing(
    status: int, reason: str | None, kind: type[WarehouseError]
) -> None:
    assert type(request_error(answer(status, reason))) is kind


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (answer(403, "accessDenied"), "DEPENDENCY_REFUSED"),
        (answer(401, None), "DEPENDENCY_REFUSED"),
        (auth.RefreshError("no"), "DEPENDENCY_REFUSED"),
        (auth.DefaultCredentialsError("no"), "DEPENDENCY_REFUSED"),
        (requests.exceptions.SSLError("no"), "DEPENDENCY_REFUSED"),
        (answer(400, "bytesBilledLimitExceeded"), "BYTES_BILLED_LIMIT"),
        (answer(400, "invalidQuery"), "STATEMENT_FAILED"),
    ],
)
def test_a_refusal_says_who_has_to_act(error: Exception, reason: str) -> None:
    translated = request_error(error)
    assert isinstance(translated, Terminal)
    assert translated.reason == reason


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ConnectionError("no"),
        requests.exceptions.ReadTimeout("no"),
        requests.exceptions.ChunkedEncodingError("no"),
        auth.TransportError("no"),
        auth.RefreshError("no", retryable=True),
        api.RetryError("no", cause=requests.exceptions.ConnectionError("no")),
        api.RetryError("no", cause=answer(503, "backendError")),
        api.RetryError("no", cause=None),
    ],
)
def test_a_warehouse_that_is_away_is_transient(error: Exception) -> None:
    assert type(request_error(error)) is Transient


def test_every_error_of_the_client_is_translated() -> None:
    def kinds(root: type[Exception]) -> list[type[Exception]]:
        return [root, *(kind for child in root.__subclasses__() for kind in kinds(child))]

    arguments: dict[type[Exception], tuple[object, ...]] = {
        api.RetryError: ("no", None),
        requests.JSONDecodeError: ("no", "", 0),
    }
    for kind in (kind for root in VENDOR_ERRORS for kind in kinds(root)):
        error = kind(*arguments.get(kind, ("no",)))
        assert isinstance(request_error(error), WarehouseError), kind


@pytest.mark.parametrize("reason", ["invalidQuery", "resourcesExceeded"])
def test_a_change_that_lost_against_another_is_tried_again(reason: str) -> None:
    for kind in ("INSERT", "UPDATE", "DELETE", "MERGE"):
        assert isinstance(job_error({"reason": reason}, statement_type=kind), JobAborted)
    for other in ("SELECT", None):
        assert isinstance(job_error({"reason": reason}, statement_type=other), Terminal)


def test_an_error_keeps_the_position_in_the_statement() -> None:
    error = job_error({"reason": "invalidQuery", "message": "Bad value secret at [12:7]"}, statement_type=None)
    assert error.metadata == {"bigquery_reason": "invalidQuery", "position": "12:7"}
    assert str(error).endswith("at 12:7")


def test_nobody_waits_for_a_quota_that_a_job_found_used_up() -> None:
    used_up = {"reason": "quotaExceeded"}
    for error in (job_error(used_up, statement_type="SELECT"), load_error(used_up, ())):
        assert isinstance(error, JobAborted)
        assert error.lasts
