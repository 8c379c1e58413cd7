"""`python -m tools.errors IMAGE` prints docs/errors.md from the comments of `ErrorReason`; IMAGE is what `make` builds of the protos.

A comment says the status, what the reason means, and after `Retry: ` whether repeating helps and what else to do.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.rpc import code_pb2

from convergence.errors.v1 import error_reason_pb2
from tools.openapi.comments import comments

ENUM = error_reason_pb2.ErrorReason.DESCRIPTOR
HTTP: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The HTTP status of each gRPC status, as https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto has it."""
RETRIES = ("no", "later", "after RetryInfo")
_COMMENT = re.compile(
    rf"(?P<where>[A-Z_]+|In [^:]+)[.:] (?P<meaning>.+) Retry: (?P<retry>{'|'.join(RETRIES)})\. (?P<do>.+)"
)
_HEAD = """<!-- Generated from protos/convergence/errors/v1/error_reason.proto by `make docs`. -->
# Errors, by their reasons

Every refusal of our code carries `google.rpc.ErrorInfo` with one of these as `reason` and `convergence` as `domain`; a run or step that
failed has one in `error.reason`. Programs go by the reason, not by the message. [statuses.md](statuses.md) lists which methods answer with
which.

Repeating a call helps where RetryInfo says when (`after RetryInfo`), once somebody has acted (`later`), or not at all (`no`). What a
caller's own gRPC ends, at its deadline, by its cancellation or because no server can be reached, has no reason. Nor has what our code never
sees: messages more than twice too large, gRPC calls (not REST) that the gateway refuses, and refusals by health and reflection.
"""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `status` is a gRPC status, or empty for one that only runs and steps end with."""

    name: str
    number: int
    status: str
    meaning: str
    retry: str
    do: str


def reasons(texts: Mapping[str, str]) -> list[Reason]:
    """Every reason but the unspecified one, in the order of the enum. `texts` are comments by full name. Raises ValueError for a comment
    that does not say all."""
    return [
        _reason(value.name, value.number, texts[f"{ENUM.full_name}.{value.name}"])
        for value in ENUM.values
        if value.number
    ]


def _reason(name: str, number: int, comment: str) -> Reason:
    found = _COMMENT.fullmatch(comment)
    if not found:
        raise ValueError(f"the comment of {name} does not say the status, the meaning, and after `Retry: ` what to do")
    where, meaning = found["where"], found["meaning"]
    is_status = where in code_pb2.Code.keys()
    if is_status and where not in HTTP:
        raise ValueError(f"{name}: which HTTP status {where} has is not known")
    meaning = meaning if is_status else f"{where}: {meaning}"
    return Reason(name, number, where if is_status else "", meaning, found["retry"], found["do"])


def document(texts: Mapping[str, str]) -> str:
    """The whole of it: an overview, and an entry for each reason under a heading that can be linked to."""
    found = reasons(texts)
    rows = "".join(
        f"| [{each.name}](#{each.name.lower()}) | {each.status or '–'} | {HTTP.get(each.status, '–')} | {each.retry} |\n"
        for each in found
    )
    return f"{_HEAD}\n| reason | gRPC | HTTP | repeat |\n|---|---|---|---|\n{rows}{''.join(map(_entry, found))}"


def _entry(reason: Reason) -> str:
    status = f"{reason.status}, HTTP {HTTP[reason.status]}" if reason.status else "none: no call is refused so"
    return (
        f"\n## {reason.name}\n\n{reason.meaning}\n\n"
        f"- Status: {status}\n- Repeat: {reason.retry}\n- What to do: {reason.do}\n"
    )


def main() -> None:
    """Print the document."""
    (image,) = sys.argv[1:]
    sys.stdout.write(document(comments(Path(image).read_bytes())))


if __name__ == "__main__":
    main()
