"""Ports."""

import socket

import pytest

from local_stack.errors import StackError
from local_stack.ports import HIGHEST, LOWEST, assign


def test_taken_ports_are_all_named_before_anything_starts() -> None:
    with socket.socket() as one, socket.socket() as two:
        for server in (one, two):
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            server.bind(("127.0.0.1", 0))
            server.listen()
        ports = {"tenant_service": one.getsockname()[1], "kms": two.getsockname()[1]}
        with pytest.raises(StackError) as caught:
            assign(ports)
    for name, port in ports.items():
        assert f"port {port} ({name}) is in use" in str(caught.value)


def test_one_port_for_two_parts_is_refused() -> None:
    port = assign({"a": 0})["a"]
    with pytest.raises(StackError, match=f"port {port} is asked for twice"):
        assign({"a": port, "b": port})


def test_free_ports_differ_and_stay_out_of_the_way_of_outgoing_connections() -> None:
    ports = assign(dict.fromkeys("abcdefgh", 0))
    assert len(set(ports.values())) == 8
    assert all(LOWEST <= port < HIGHEST for port in ports.values())
