"""The console and the parts' logs."""

import asyncio
import os
import time

from local_stack.console import CAPACITY_LINES, FLUSH_SECONDS, Console
from local_stack.part_log import ROTATE_BYTES, PartLog
from local_stack.state import State

from .conftest import Screen


def test_lines_keep_their_order_behind_their_part(screen: Screen) -> None:
    screen.console.say("one", "kms")
    screen.console.announce("ready x=1")
    screen.console.say("two")
    assert screen.close() == "kms              | one\nready x=1\nsupervisor       | two\n"


def test_reader_who_stops_reading_holds_up_nobody() -> None:
    reader, writer = os.pipe()
    console = Console(writer)
    began = time.monotonic()
    for _ in range(CAPACITY_LINES + 2_000):
        console.say("x" * 100)
    console.close()
    assert time.monotonic() - began < FLUSH_SECONDS + 2
    while os.read(reader, 1 << 20).endswith(b"\n") is False:
        pass  # let the writer's thread go on to its end
    os.close(reader)


def test_closed_console_ends_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    console = Console(writer)
    console.say("nobody hears this")
    console.close()
    console.say("nor this")
    os.close(writer)


async def test_a_parts_lines_are_whole_even_when_they_come_in_pieces(state: State, screen: Screen) -> None:
    log = PartLog("kms", state.log_file("kms"), screen.console)
    writer = log.open_pipe()
    for piece in (b"fir", b"st\nsec", b"ond\n\nlast without an end"):
        os.write(writer, piece)
        await asyncio.sleep(0)
    os.close(writer)
    log.close()
    assert state.log_file("kms").read_bytes() == b"first\nsecond\n\nlast without an end"
    assert [line.partition(" | ")[2] for line in screen.close().splitlines()] == [
        "first",
        "second",
        "last without an end",
    ]


async def test_log_survives_a_restart_and_does_not_grow_for_ever(state: State, screen: Screen) -> None:
    path = state.log_file("kms")
    path.write_text("before\n")
    PartLog("kms", path, screen.console).close()
    assert path.read_text() == "before\n"
    with path.open("ab") as file:
        file.truncate(ROTATE_BYTES + 1)
    PartLog("kms", path, screen.console).close()
    assert path.stat().st_size == 0
    assert path.with_suffix(".log.1").stat().st_size > ROTATE_BYTES
