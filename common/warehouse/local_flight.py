"""A Flight client of the local warehouse server: token, deadlines, and the one place where its errors become the port's."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyarrow import flight

from common.channels import DIRECT
from common.errors import AccessRefused, Terminal, Transient, WarehouseError
from common.secret import Secret
from common.warehouse import local_wire

# gRPC's own back-off after a refused connection grows to two minutes: a restarted server would look away for that long.
_OPTIONS: list[tuple[str, int | str]] = [
    DIRECT,
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class FlightConnection:
    """Connects at the first call. Safe to use from many threads. Every call raises WarehouseErrors only."""

    def __init__(self, address: str, token: Secret) -> None:
        self._address = address
        self._token = token
        self._client: flight.FlightClient | None = None

    def act(self, request: Any, *, deadline_seconds: float) -> bytes:
        """Run an action and return its answer as JSON."""
        action = flight.Action(type(request).__name__, local_wire.encode(request))
        with translated():
            results = list(self._connected().do_action(action, self._options(deadline_seconds)))
            body: bytes = results[0].body.to_pybytes()
            return body

    def get(self, ticket: Any, *, deadline_seconds: float) -> flight.FlightStreamReader:
        """Open a stream of rows. Reading it raises Flight's errors: read under `translated`."""
        with translated():
            encoded = flight.Ticket(local_wire.encode_kind(ticket))
            return self._connected().do_get(encoded, self._options(deadline_seconds))

    def put(self, command: Any, batches: pa.RecordBatchReader, *, deadline_seconds: float) -> None:
        """Send rows and wait until the server has taken them all."""
        with translated():
            descriptor = flight.FlightDescriptor.for_command(local_wire.encode_kind(command))
            options = self._options(deadline_seconds)
            writer, _ = self._connected().do_put(descriptor, batches.schema, options)
            with contextlib.closing(writer):
                for batch in batches:
                    writer.write_batch(batch)

    def close(self) -> None:
        """Close the connection. May be called twice."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> flight.FlightClient:
        if self._client is None:
            self._client = flight.FlightClient(f"grpc://{self._address}", generic_options=_OPTIONS)
        return self._client

    def _options(self, deadline_seconds: float) -> flight.FlightCallOptions:
        headers: list[Any] = [(b"authorization", f"Bearer {self._token.reveal()}".encode())]
        return flight.FlightCallOptions(timeout=deadline_seconds, headers=headers)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn Flight's errors into the port's: the server's own by what it wrote, the transport's by their class."""
    try:
        yield
    except (flight.FlightUnavailableError, flight.FlightTimedOutError, flight.FlightCancelledError) as error:
        raise Transient("The warehouse is away") from error
    except flight.FlightUnauthenticatedError as error:
        raise AccessRefused("The warehouse refused our token") from error
    except flight.FlightError as error:
        raise _from_server(error) from error
    except pa.ArrowException as error:
        raise Terminal("The warehouse answered in a way that was not understood") from error


def _from_server(error: flight.FlightError) -> WarehouseError:
    try:
        return local_wire.decode_error(error.extra_info)
    except (ValueError, KeyError):
        return Terminal("The warehouse failed in a way that it did not explain")
