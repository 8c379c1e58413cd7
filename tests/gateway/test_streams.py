"""Streams as REST has them: a line for each message as it comes, and trailers that say how the stream ended."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from convergence.pipeline.v1.pipeline_service_pb2 import ReadTableResponse
from convergence.pipeline.v1.run_pb2 import Run
from tests.gateway.conftest import World
from tests.gateway.fakes import Refused
from tests.gateway.rest import Rest, running_gateway
from tests.waiting import eventually

WATCH = "/api/v1/pipelines/runs/1:watch"
ROWS = "/api/v1/tenants/acme/tables/cost/rows"


def wire(rest: Rest, path: str) -> tuple[str, str]:
    """All that comes over HTTP/1.1 by name: the last line of the body, and what follows the last chunk."""
    host, _, port = rest.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    body, _, trailers = received.rpartition("\r\n0\r\n")
    return body, trailers


def test_each_message_is_a_line_and_comes_as_it_is_sent(world: World) -> None:
    seen = threading.Event()

    def watch(request: Any) -> Iterator[Run]:
        yield Run(pipeline_logging_id="1", status=Run.RUNNING)
        assert seen.wait(30)
        yield Run(pipeline_logging_id="1", status=Run.COMPLETE)

    world.services.answers["WatchRun"] = watch
    host, _, port = world.rest.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET {WATCH} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n".encode())
        received = b""
        while b'"RUNNING"' not in received:
            received += connection.recv(65536)
        assert b'"COMPLETE"' not in received
        seen.set()
        received += b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b'"pipeline_logging_id":"1"') == 2


def test_a_stream_that_ends_well_says_so_in_its_trailers(world: World) -> None:
    world.services.answers["WatchRun"] = lambda request: [Run(status=Run.COMPLETE)]
    body, trailers = wire(world.rest, WATCH)
    assert '"COMPLETE"' in body
    assert "grpc-status: 0\r\n" in trailers


def test_a_stream_that_is_cut_off_ends_without_a_terminal_message_and_with_the_status_in_its_trailers(
    world: World,
) -> None:
    def watch(request: Any) -> Iterator[Run]:
        yield Run(status=Run.RUNNING)
        raise Refused("UNAVAILABLE", "the server ends")

    world.services.answers["WatchRun"] = watch
    body, trailers = wire(world.rest, WATCH)
    assert '"RUNNING"' in body
    assert "grpc-status: 14\r\n" in trailers
    assert "grpc-message: the server ends\r\n" in trailers


def test_rows_keep_their_names_and_numbers(world: World) -> None:
    row = Struct()
    row.update({"cost": "0.1", "camelCase": 1.5, "snake_case": None, "nested": {"a": [True, "x"]}})
    world.services.answers["ReadTable"] = lambda request: [ReadTableResponse(rows=[row])]
    (message,) = world.rest("GET", ROWS).lines
    assert message["rows"] == [{"cost": "0.1", "camelCase": 1.5, "snake_case": None, "nested": {"a": [True, "x"]}}]


@pytest.mark.parametrize("rows", [1, 30])
def test_large_answers_come_whole(world: World, rows: int) -> None:
    row = Struct()
    row.update({"text": "x" * 100_000})
    world.services.answers["ReadTable"] = lambda request: [ReadTableResponse(rows=[row] * rows)] * 5
    assert [len(message["rows"]) for message in world.rest("GET", ROWS).lines] == [rows] * 5


def test_a_caller_who_leaves_ends_the_call(world: World) -> None:
    left = threading.Event()

    def watch(request: Any) -> Iterator[Run]:
        try:
            while True:
                yield Run(status=Run.RUNNING, trigger_by="x" * 10_000)
        finally:
            left.set()

    world.services.answers["WatchRun"] = watch
    host, _, port = world.rest.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET {WATCH} HTTP/1.1\r\nhost: gateway\r\n\r\n".encode())
        assert connection.recv(1000)
    assert left.wait(30)


def test_a_stream_may_be_silent_for_longer_than_any_other_call(world: World, tmp_path: Path) -> None:
    ended = threading.Event()

    def watch(request: Any) -> Iterator[Run]:
        yield Run(status=Run.RUNNING)
        assert ended.wait(30)
        yield Run(status=Run.COMPLETE)

    def get(request: Any) -> Run:
        assert ended.wait(30)
        return Run()

    world.services.answers |= {"WatchRun": watch, "GetRun": get}
    with (
        running_gateway(tmp_path, world.services.replicas, stream_idle_timeout="1s") as rest,
        ThreadPoolExecutor() as pool,
    ):
        watching = pool.submit(rest, "GET", WATCH)
        eventually(lambda: world.services.calls, 30.0, "the stream is under way")
        assert rest("GET", "/api/v1/pipelines/runs/1").status == 504
        ended.set()
        assert [run["status"] for run in watching.result().lines] == ["RUNNING", "COMPLETE"]
