"""The engine over Arrow Flight: one method per request class of `common.warehouse.local_wire`, a token on every call."""

import contextlib
import dataclasses
import hmac
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import structlog
from pyarrow import flight

from common.errors import Terminal, WarehouseError
from common.secret import Secret
from common.warehouse import local_wire as wire
from common.warehouse.local_wire import StreamHead
from common.warehouse.warehouse import QueryJob
from local_stack.warehouse.engine import Engine
from local_stack.warehouse.reading import Reading

Handler = Callable[[Any], Any]
_log = structlog.get_logger(__name__)
TICKETS: dict[str, type[wire.Read | wire.ListRows]] = {"Read": wire.Read, "ListRows": wire.ListRows}
COMMANDS = {"Upload": wire.Upload}
LONGEST_WAIT_SECONDS = 60.0


class _Token(flight.ServerMiddlewareFactory):
    def __init__(self, token: Secret) -> None:
        super().__init__()
        self._expected = f"Bearer {token.reveal()}".encode()

    def start_call(self, info: flight.CallInfo, headers: Mapping[str, list[str] | list[bytes]]) -> None:  # noqa: ARG002
        given = headers.get("authorization") or [""]
        if not hmac.compare_digest(str(given[0]).encode(), self._expected):
            raise flight.FlightUnauthenticatedError("a token is required")


class WarehouseServer(flight.FlightServerBase):
    """Serves from the moment it is made until `shutdown`; `port` is the one it bound. Raises OSError where it cannot bind."""

    def __init__(self, engine: Engine, token: Secret, *, host: str = "127.0.0.1", port: int = 0) -> None:
        try:
            super().__init__(f"grpc://{host}:{port}", middleware={"token": _Token(token)})
        except pa.ArrowException as error:
            raise OSError(f"cannot listen on {host}:{port}") from error
        self._engine = engine
        self._actions = _actions(engine)

    def do_action(self, context: flight.ServerCallContext, action: flight.Action) -> Iterator[bytes]:  # noqa: ARG002
        """Run one action."""
        with _answering(action.type):
            kind, handler = self._actions[action.type]
            answer = handler(wire.decode(kind, action.body.to_pybytes()))
            return iter([wire.encode(answer)])

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.FlightDataStream:  # noqa: ARG002
        """Stream rows."""
        with _answering("get"):
            request = wire.decode_kind(TICKETS, ticket.ticket)
            if isinstance(request, wire.ListRows):
                return _stream(self._engine.list_rows(request.ref), bytes_processed=0, bytes_billed=0)
            plan, reading = self._engine.read(_native(request))
            return _stream(reading, bytes_processed=plan.bytes_processed, bytes_billed=plan.bytes_billed)

    def do_put(
        self,
        context: flight.ServerCallContext,  # noqa: ARG002
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,  # noqa: ARG002
    ) -> None:
        """Take rows."""
        with _answering("put"):
            self._engine.upload(wire.decode_kind(COMMANDS, descriptor.command or b""), reader.to_reader())


def _actions(engine: Engine) -> dict[str, tuple[type, Handler]]:
    catalog, jobs = engine.catalog, engine.jobs
    handlers: dict[type, Handler] = {
        wire.CreateDataset: lambda r: catalog.create_dataset(
            r.dataset_id, location=r.location, labels=r.labels, description=r.description
        ),
        wire.GetDataset: lambda r: catalog.get_dataset(r.dataset_id),
        wire.SetLabels: lambda r: catalog.set_labels(r.dataset_id, r.etag, r.labels),
        wire.ListDatasets: lambda r: catalog.list_datasets(r.label),
        wire.CreateTable: lambda r: catalog.create_table(r.ref, r.spec),
        wire.GetTable: lambda r: catalog.get_table(r.ref),
        wire.AddColumns: lambda r: catalog.add_columns(r.ref, r.columns),
        wire.ListTables: lambda r: catalog.list_tables(r.dataset_id),
        wire.DeleteTable: lambda r: catalog.delete_table(r.ref),
        wire.PutView: lambda r: engine.put_view(r.ref, r.select),
        wire.SubmitQuery: lambda r: jobs.submit(_native(r.job)),
        wire.SubmitLoad: lambda r: jobs.submit(r.job),
        wire.SubmitReplace: lambda r: jobs.submit(r.job),
        wire.SubmitMerge: lambda r: jobs.submit(r.job),
        wire.WaitJob: lambda r: jobs.wait(r.job_id, min(r.timeout_seconds, LONGEST_WAIT_SECONDS)),
        wire.CancelJob: lambda r: jobs.cancel(r.job_id),
        wire.EstimateBytes: lambda r: engine.estimate(wire.native(r.statement)),
    }
    return {kind.__name__: (kind, handler) for kind, handler in handlers.items()}


def _native(request: wire.Read | QueryJob) -> Any:
    return dataclasses.replace(request, statement=wire.native(request.statement))


def _stream(reading: Reading, *, bytes_processed: int, bytes_billed: int) -> flight.FlightDataStream:
    head = wire.encode(StreamHead(reading.columns, bytes_processed, bytes_billed))
    return flight.GeneratorStream(reading.schema.with_metadata({wire.HEAD_KEY: head}), _Told(reading))


class _Told:
    """A reading whose errors travel as the port's. No generator: one that is dropped before its first row would close nothing."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def __iter__(self) -> "_Told":
        return self

    def __next__(self) -> pa.RecordBatch:
        try:
            return next(self._reading)
        except WarehouseError as error:
            raise _told(error) from error


@contextlib.contextmanager
def _answering(what: str) -> Iterator[None]:
    try:
        yield
    except WarehouseError as error:
        raise _told(error) from error
    except Exception as error:
        _log.exception("call failed", call=what)
        raise _told(Terminal("The warehouse failed in a way that its log explains")) from error


def _told(error: WarehouseError) -> flight.FlightServerError:
    return flight.FlightServerError(error.message, wire.encode_error(error))
