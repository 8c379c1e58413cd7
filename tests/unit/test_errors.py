"""docs/errors.md says of every reason what the code does with it. That it is what the protos generate is for `make check`."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import errors
from common.rpc.status import status_code
from convergence.errors.v1 import error_reason_pb2
from tests.gateway.test_errors import STATUSES
from tools.errors import ENUM, HTTP, RETRIES, document, reasons

TEXT = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
ROWS = {
    name: (status, http, retry)
    for name, status, http, retry in re.findall(
        r"^\| \[(\w+)\]\(#\w+\) \| (\S+) \| (\S+) \| (.+) \|$", TEXT, re.MULTILINE
    )
}
NO_STATUS = "–"
SAID = "NOT_FOUND. Nothing is there. Retry: no. Look elsewhere."


def classes(cls: type[errors.ConvergenceError]) -> Iterator[type[errors.ConvergenceError]]:
    """The tree of what calls are refused with."""
    for sub in cls.__subclasses__():
        if sub.__module__ == errors.__name__ and not issubclass(sub, errors.WarehouseError):
            yield sub
            yield from classes(sub)


REFUSALS = {cls.reason: cls for cls in classes(errors.ConvergenceError) if "reason" in vars(cls)}


def test_every_reason_has_a_row_and_an_entry_that_says_what_to_do() -> None:
    names = [name for name in error_reason_pb2.ErrorReason.keys() if name != "ERROR_REASON_UNSPECIFIED"]
    assert list(ROWS) == names
    entries = re.findall(r"^## (\w+)\n\n.+\n\n- Status: .+\n- Repeat: .+\n- What to do: .+\n", TEXT, re.MULTILINE)
    assert entries == names
    assert {retry for _, _, retry in ROWS.values()} == set(RETRIES)


@pytest.mark.parametrize("reason", REFUSALS)
def test_the_status_of_a_reason_is_the_one_that_calls_end_with(reason: str) -> None:
    cls = REFUSALS[reason]
    status, http, retry = ROWS[reason]
    code = status_code(cls.__new__(cls)).name
    assert (status, http) == (code, str(HTTP[code]))
    says_when = issubclass(cls, errors.ResourceExhausted | errors.Unavailable) or cls.retry_delay_seconds is not None
    assert (retry == "after RetryInfo") == says_when


def test_what_no_call_is_refused_with_has_no_status() -> None:
    without = {reason for reason, (status, *_) in ROWS.items() if status == NO_STATUS}
    assert without
    assert not without & REFUSALS.keys()
    assert ROWS.keys() - without - REFUSALS.keys() == {"INTERNAL"}


def test_http_statuses_are_those_that_the_gateway_answers_with() -> None:
    assert HTTP == {**STATUSES, "UNIMPLEMENTED": 501}


@pytest.mark.parametrize("comment", ["", SAID.replace("Retry: ", ""), SAID.replace("NOT_FOUND", "Missing"), SAID[:-16]])
def test_a_comment_that_does_not_say_all_is_refused(comment: str) -> None:
    texts = {f"{ENUM.full_name}.{value.name}": SAID for value in ENUM.values}
    assert {reason.do for reason in reasons(texts)} == {"Look elsewhere."}
    assert "- Status: NOT_FOUND, HTTP 404\n- Repeat: no\n- What to do: Look elsewhere.\n" in document(texts)
    with pytest.raises(ValueError, match="FIELD_INVALID"):
        reasons({**texts, f"{ENUM.full_name}.FIELD_INVALID": comment})
