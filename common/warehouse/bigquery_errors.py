"""BigQuery's errors, translated once, by structured reason. What is not recognised is Terminal.

A failed request says nothing of a job that it asks about; a failed job says that it had no effect. Hence two functions over one table.
No message repeats BigQuery's text: it may quote values of rows. That text stays in `__cause__`, or in the job itself.
Reasons: https://cloud.google.com/bigquery/docs/error-messages
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, RetryError
from google.auth.exceptions import GoogleAuthError, TransportError

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

VENDOR_ERRORS = (GoogleAPIError, GoogleAuthError, requests.RequestException)
"""Everything that the client raises for what happens outside of this process."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one reason means: whether a repetition may help, our sentence for it, the reason of a Terminal, and whether a Transient lasts
    for longer than anybody waits."""

    transient: bool
    message: str
    reason: str = "STATEMENT_FAILED"
    lasts: bool = False


_BUSY = Verdict(True, "The warehouse had a passing fault")
_REFUSED = Verdict(False, "The warehouse refused access", "DEPENDENCY_REFUSED")
_UNKNOWN = Verdict(False, "The warehouse refused the request")

VERDICTS: Mapping[str, Verdict] = {
    "backendError": _BUSY,
    "badGateway": _BUSY,
    "internalError": _BUSY,
    "jobBackendError": _BUSY,
    "jobInternalError": _BUSY,
    "tableUnavailable": _BUSY,
    "rateLimitExceeded": Verdict(True, "The warehouse is asked too much at once"),
    "jobRateLimitExceeded": Verdict(True, "The warehouse is asked too much at once"),
    "quotaExceeded": Verdict(True, "A quota of the warehouse is used up for now", lasts=True),
    "accessDenied": _REFUSED,
    "authError": _REFUSED,
    "billingNotEnabled": _REFUSED,
    "blocked": _REFUSED,
    "forbidden": _REFUSED,
    "policyViolation": _REFUSED,
    "required": _REFUSED,
    "invalid": Verdict(False, "The warehouse found the request invalid"),
    "invalidQuery": Verdict(False, "The statement does not compile or failed on a value"),
    "notImplemented": Verdict(False, "The warehouse does not support the request"),
    "resourceInUse": Verdict(False, "The object is in use"),
    "resourcesExceeded": Verdict(False, "The statement needs more resources than it may use"),
    "responseTooLarge": Verdict(False, "The statement's result is too large"),
    "stopped": Verdict(False, "The job was cancelled"),
    "timeout": Verdict(False, "The job ran longer than its timeout", "STEP_TIMEOUT"),
    "bytesBilledLimitExceeded": Verdict(
        False, "The statement would bill more bytes than allowed", "BYTES_BILLED_LIMIT"
    ),
    "billingTierLimitExceeded": Verdict(False, "The statement would bill more than allowed", "BYTES_BILLED_LIMIT"),
    "notFound": Verdict(False, "A table or dataset that the statement names does not exist"),
    "duplicate": Verdict(False, "An object that the statement creates exists"),
}
_TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED_STATUSES = frozenset({401, 403, 407})
_CUT_OFF = frozenset({"stopped", "timeout"})
"""Such a query bills what it has read by then; one that fails in any other way bills nothing:
https://cloud.google.com/bigquery/pricing#overview_of_query_pricing"""
_LOST_RACES = frozenset({"invalidQuery", "resourcesExceeded"})
_BAD_ROWS = frozenset({"invalid", "invalidQuery", "badRequest"})
_BYTE = re.compile(r"starting at location (\d{1,18})\b")
_POSITION = re.compile(r"\[(\d{1,9}:\d{1,9})\]")


def request_error(error: Exception) -> WarehouseError:
    """Translate what a call of the client raised."""
    if isinstance(error, RetryError) and isinstance(error.cause, Exception):
        return request_error(error.cause)
    if isinstance(error, GoogleAPICallError):
        return _answer_error(error)
    if isinstance(error, requests.exceptions.SSLError):
        return AccessRefused("No trusted connection to the warehouse")
    if isinstance(error, GoogleAuthError) and not (isinstance(error, TransportError) or error.retryable):
        return AccessRefused("The warehouse's credentials are not valid")
    if isinstance(error, (requests.RequestException, GoogleAuthError, RetryError)):
        return Transient("The warehouse is away")
    return _terminal(_UNKNOWN, "", "")


def job_error(
    error_result: Mapping[str, Any], *, statement_type: str | None, bytes_billed: int | None = None
) -> WarehouseError:
    """Translate the `errorResult` of a job that ended; such a job had no effect. `bytes_billed` is what its statistics say, None for
    nothing.

    An UPDATE, DELETE or MERGE that lost against a concurrent one is reported as `invalidQuery` and one that found the table's queue of 20
    full as `resourcesExceeded`: neither has a reason of its own. No tenant writes DML (a template is one SELECT), and ours compiles, so
    of a DML statement that BigQuery could analyse both mean that another attempt may succeed.
    """
    reason = str(error_result.get("reason", ""))
    verdict = VERDICTS.get(reason, _UNKNOWN)
    lost_race = reason in _LOST_RACES and statement_type in {"INSERT", "UPDATE", "DELETE", "MERGE"}
    if verdict.transient or lost_race:
        message = "The job lost against a concurrent one" if lost_race else verdict.message
        return JobAborted(message, lasts=verdict.lasts)
    if verdict is _REFUSED:
        verdict = Verdict(False, "The warehouse denied the statement access to a table")
    error = _terminal(verdict, reason, str(error_result.get("message", "")))
    error.bytes_billed = bytes_billed if reason in _CUT_OFF else 0
    return error


def load_error(error_result: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> WarehouseError:
    """Translate how a load job ended, `errors` being all that it says of its files; such a job had no effect. Where in which file a row
    is malformed is told, but never what it holds, which BigQuery's text quotes."""
    reason = str(error_result.get("reason", ""))
    verdict = VERDICTS.get(reason, _UNKNOWN)
    if verdict.transient:
        return JobAborted(verdict.message, lasts=verdict.lasts)
    metadata = {"bigquery_reason": reason} if reason else {}
    if verdict is _REFUSED:
        return Terminal("The warehouse denied the job access to the files or the table", metadata=metadata)
    if reason == "notFound":
        return Terminal("No file matches", reason="SOURCE_FILES_MISSING", metadata=metadata)
    if reason in _BAD_ROWS:
        where = next(filter(None, map(_place_in_file, (error_result, *errors))), "")
        return Terminal(f"A file holds what the columns do not allow{where}", reason="LOAD_FAILED", metadata=metadata)
    return Terminal(verdict.message, reason=verdict.reason, metadata=metadata)


def _place_in_file(error: Mapping[str, Any]) -> str:
    """Where an ErrorProto of a load job points to; empty where it names no file."""
    file = str(error.get("location", ""))
    if not file.startswith("gs://"):
        return ""
    byte = _BYTE.search(str(error.get("message", "")))
    return f": {file}" + (f", in the row from byte {byte[1]}" if byte else "")


def _answer_error(error: GoogleAPICallError) -> WarehouseError:
    """Translate an answer of the API, by its reason first, by its HTTP status where that says nothing."""
    details = error.errors[0] if error.errors and isinstance(error.errors[0], Mapping) else {}
    reason, status = str(details.get("reason", "")), int(error.code or 0)
    if status == 404 or reason == "notFound":
        return ObjectNotFound("No such dataset, table or job")
    if status == 412:
        return PreconditionLost("The object changed since it was read")
    if reason in {"duplicate", "alreadyExists"} or (status == 409 and not reason):
        return ObjectExists("A dataset, table or job of that name exists")
    verdict = VERDICTS.get(reason, _UNKNOWN)
    if verdict.transient or (verdict is _UNKNOWN and status in _TRANSIENT_STATUSES):
        return Transient(verdict.message if verdict.transient else _BUSY.message, lasts=verdict.lasts)
    if verdict is _UNKNOWN and status in _REFUSED_STATUSES:
        verdict = _REFUSED
    return _terminal(verdict, reason, str(details.get("message", "")))


def _terminal(verdict: Verdict, reason: str, text: str) -> Terminal:
    """Keep the vendor's reason, and of its text nothing but the position in the statement, `line:column`."""
    metadata = {"bigquery_reason": reason} if reason else {}
    if position := _POSITION.search(text):
        metadata["position"] = position[1]
    where = f" at {position[1]}" if position else ""
    if verdict is _REFUSED:
        return AccessRefused(verdict.message, metadata=metadata)
    return Terminal(verdict.message + where, reason=verdict.reason, metadata=metadata)
