"""What travels between the local warehouse's adapter and its server, over Arrow Flight.

An action's type is the name of its request class, its body that request as JSON, its one result the answer as JSON. A ticket is a `Read` or
`ListRows`, a descriptor's command an `Upload`, each as `{"kind": class name, "body": request}`. Errors are JSON in `extra_info`. Rows are
Arrow batches, whose schema carries `StreamHead` as metadata.
"""

import base64
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import TypeAdapter

from common.errors import (
    JobAborted,
    ObjectExists,
    ObjectNotFound,
    PreconditionLost,
    Terminal,
    Transient,
    WarehouseError,
)
from common.warehouse.columns import Column
from common.warehouse.warehouse import (
    LoadJob,
    MergeJob,
    Parameter,
    QueryJob,
    ReplaceJob,
    Statement,
    TableRef,
    TableSpec,
    Value,
)

T = TypeVar("T")
HEAD_KEY = b"convergence"
_ERRORS: dict[str, type[WarehouseError]] = {
    kind.__name__: kind for kind in (JobAborted, ObjectExists, ObjectNotFound, PreconditionLost, Terminal, Transient)
}


@dataclass(frozen=True, slots=True)
class CreateDataset:
    """Answers Dataset."""

    dataset_id: str
    location: str
    labels: Mapping[str, str]
    description: str = ""


@dataclass(frozen=True, slots=True)
class GetDataset:
    """Answers Dataset."""

    dataset_id: str


@dataclass(frozen=True, slots=True)
class SetLabels:
    """Answers Dataset."""

    dataset_id: str
    etag: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListDatasets:
    """Answers a list of Dataset."""

    label: str


@dataclass(frozen=True, slots=True)
class CreateTable:
    """Answers nothing."""

    ref: TableRef
    spec: TableSpec


@dataclass(frozen=True, slots=True)
class GetTable:
    """Answers Table."""

    ref: TableRef


@dataclass(frozen=True, slots=True)
class AddColumns:
    """Answers nothing."""

    ref: TableRef
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class ListTables:
    """Answers a list of TableRef."""

    dataset_id: str


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Answers nothing."""

    ref: TableRef


@dataclass(frozen=True, slots=True)
class PutView:
    """Answers nothing."""

    ref: TableRef
    select: str


@dataclass(frozen=True, slots=True)
class SubmitQuery:
    """Answers nothing."""

    job: QueryJob


@dataclass(frozen=True, slots=True)
class SubmitLoad:
    """Answers nothing."""

    job: LoadJob


@dataclass(frozen=True, slots=True)
class SubmitReplace:
    """Answers nothing."""

    job: ReplaceJob


@dataclass(frozen=True, slots=True)
class SubmitMerge:
    """Answers nothing."""

    job: MergeJob


@dataclass(frozen=True, slots=True)
class WaitJob:
    """Answers JobResult, or null while the job still runs after `timeout_seconds`."""

    job_id: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Answers nothing."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Read:
    """A ticket for the rows of a SELECT."""

    statement: Statement
    page_size: int
    max_bytes_billed: int | None
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class EstimateBytes:
    """Answers Estimate."""

    statement: Statement


@dataclass(frozen=True, slots=True)
class ListRows:
    """A ticket for all rows of a table."""

    ref: TableRef


@dataclass(frozen=True, slots=True)
class Upload:
    """Rows that replace a table, or make a new one."""

    ref: TableRef
    spec: TableSpec


@dataclass(frozen=True, slots=True)
class StreamHead:
    """What is known of a stream before its first row."""

    columns: tuple[Column, ...]
    bytes_processed: int = 0
    bytes_billed: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: str
    message: str
    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)


_adapter: Callable[[Any], TypeAdapter[Any]] = functools.cache(TypeAdapter)


def encode(message: Any) -> bytes:
    """A message as JSON."""
    return bytes(_adapter(type(message)).dump_json(message))


def decode(kind: type[T], body: bytes) -> T:
    """A message of the type `kind` from JSON. Raises ValueError."""
    message: T = _adapter(kind).validate_json(body)
    return message


def encode_kind(message: Any) -> bytes:
    """A ticket or command: a message together with the name of its class."""
    return json.dumps({"kind": type(message).__name__, "body": encode(message).decode()}).encode()


def decode_kind(kinds: Mapping[str, type[T]], body: bytes) -> T:
    """Read a ticket or command of one of `kinds`. Raises ValueError."""
    envelope = json.loads(body)
    kind = kinds.get(envelope.get("kind"))
    if kind is None:
        raise ValueError("an unknown kind of ticket")
    return decode(kind, envelope["body"].encode())


def encode_error(error: WarehouseError) -> bytes:
    """An error of the port as JSON, by the most particular class that the other side knows."""
    kind = next(known.__name__ for known in type(error).__mro__ if known.__name__ in _ERRORS)
    return encode(_Failure(kind, error.message, error.reason, error.metadata))


def decode_error(body: bytes) -> WarehouseError:
    """The error that `encode_error` wrote. Raises ValueError for anything else."""
    failure = decode(_Failure, body)
    if failure.kind == Terminal.__name__:
        return Terminal(failure.message, reason=failure.reason, metadata=failure.metadata)
    return _ERRORS[failure.kind](failure.message, metadata=failure.metadata)


def portable(statement: Statement) -> Statement:
    """The statement with parameter values that JSON keeps: numbers with a fraction, dates and times as text, bytes in base64."""
    return replace(statement, parameters=tuple(_portable(parameter) for parameter in statement.parameters))


def native(statement: Statement) -> Statement:
    """Undo `portable` as far as it matters: what the types of the parameters make of text is left to the database."""
    return replace(statement, parameters=tuple(_native(parameter) for parameter in statement.parameters))


def _portable(parameter: Parameter) -> Parameter:
    value = parameter.value
    if parameter.array and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return replace(parameter, value=[_as_text(element) for element in value])
    return replace(parameter, value=_as_text(value))  # type: ignore[arg-type]  # a scalar


def _as_text(value: Value) -> Value:
    match value:
        case Decimal():
            return format(value, "f")
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case float():
            return repr(value)
        case _:
            return value


def _native(parameter: Parameter) -> Parameter:
    if parameter.type != "BYTES" or parameter.value is None:
        return parameter
    if parameter.array and isinstance(parameter.value, Sequence):
        return replace(parameter, value=[_as_bytes(element) for element in parameter.value])
    return replace(parameter, value=_as_bytes(parameter.value))


def _as_bytes(value: Any) -> bytes | None:
    return None if value is None else base64.b64decode(value)
