"""The supervisor against real, tiny processes."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence

import pytest

from local_stack import pid_files
from local_stack.errors import StackError
from local_stack.part import Part
from local_stack.state import State
from local_stack.supervisor import Supervisor
from tests.waiting import until

from .conftest import FakeParts, Screen

TIMEOUT = 20.0


class Life:
    """A supervisor that runs in a task of its own."""

    def __init__(self, parts: Sequence[Part], state: State, screen: Screen) -> None:
        self.supervisor = Supervisor(parts, state, screen.console, start_timeout_seconds=TIMEOUT)
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(self.supervisor.run(self.ready.set))

    async def until_ready(self) -> None:
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait({ready, self.task}, timeout=TIMEOUT, return_when="FIRST_COMPLETED")
        ready.cancel()
        if self.task.done():
            await self.task
        assert self.ready.is_set()

    async def end(self) -> None:
        self.supervisor.request_stop()
        async with asyncio.timeout(TIMEOUT):
            await self.task


@contextlib.asynccontextmanager
async def running(parts: Sequence[Part], state: State, screen: Screen) -> AsyncIterator[Life]:
    life = Life(parts, state, screen)
    try:
        await life.until_ready()
        yield life
    finally:
        with contextlib.suppress(StackError):
            await life.end()


async def test_parts_start_in_the_order_of_their_needs_and_end_in_reverse(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    parts = [
        fake_parts.make("a"),
        fake_parts.make("b", after=("a",)),
        fake_parts.make("c", after=("b",)),
    ]
    async with running(parts, state, screen):
        assert fake_parts.journal == ["started a", "started b", "started c"]
    assert fake_parts.journal[3:] == ["ended c", "ended b", "ended a"]


async def test_pid_file_names_the_server_itself_and_is_gone_after_a_clean_end(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    async with running([fake_parts.make("a")], state, screen):
        pid = pid_files.read(state.pid_file("a"))
        assert pid is not None
        assert pid_files.is_ours(pid, state, "a")
    assert not state.pid_file("a").exists()
    assert not pid_files.is_alive(pid)


async def test_killed_part_is_restarted_within_two_seconds_under_a_new_pid_and_visibly(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    async with running([fake_parts.make("a"), fake_parts.make("b")], state, screen):
        for starts in (2, 3):
            before = pid_files.read(state.pid_file("a")) or 0
            os.kill(before, signal.SIGKILL)
            await until(lambda wanted=starts: fake_parts.journal.count("started a") == wanted, seconds=2.0)  # type: ignore[misc]
            assert pid_files.read(state.pid_file("a")) != before
    text = screen.close()
    assert f"a (pid {before}) was killed by SIGKILL: starting it again" in text
    assert fake_parts.journal.count("started b") == 1


async def test_part_that_cannot_start_is_named_and_everything_else_is_ended(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    parts = [fake_parts.make("good"), fake_parts.make("bad", "failing", after=("good",))]
    with pytest.raises(StackError, match=r"bad cannot start: it exited with status 3; see .*bad\.log"):
        async with running(parts, state, screen):
            pass
    assert fake_parts.journal[-1] == "ended good"
    assert not list(state.run.glob("*.pid"))


async def test_part_whose_program_is_missing_is_named(state: State, screen: Screen) -> None:
    with pytest.raises(StackError, match="there is no program /nowhere/to/be/found"):
        async with running([Part("ghost", ("/nowhere/to/be/found",), {})], state, screen):
            pass


async def test_part_that_never_becomes_ready_is_given_up_in_bounded_time(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    supervisor = Supervisor([fake_parts.make("a", "mute")], state, screen.console, start_timeout_seconds=0.3)
    with pytest.raises(StackError, match=r"was not ready within 0\.3 s"):
        async with asyncio.timeout(TIMEOUT):
            await supervisor.run(lambda: None)
    assert not list(state.run.glob("*.pid"))


async def test_second_request_kills_a_part_that_ignores_sigterm(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    async with running([fake_parts.make("a", "deaf", stop_seconds=3600)], state, screen) as life:
        pid = pid_files.read(state.pid_file("a"))
        life.supervisor.request_stop()
        life.supervisor.request_stop()
        async with asyncio.timeout(TIMEOUT):
            await life.task
    assert pid is not None
    assert not pid_files.is_alive(pid)


async def test_part_that_ignores_sigterm_is_killed_when_its_time_is_up(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    async with running([fake_parts.make("a", "deaf", stop_seconds=0.2)], state, screen) as life:
        await life.end()
    assert fake_parts.journal == ["started a"]


async def test_stop_before_all_is_ready_ends_cleanly(state: State, screen: Screen, fake_parts: FakeParts) -> None:
    life = Life([fake_parts.make("a"), fake_parts.make("b", "mute", after=("a",))], state, screen)
    await until(lambda: "started b" in fake_parts.journal)
    await life.end()
    assert not life.ready.is_set()
    assert fake_parts.journal[-1] == "ended a"


async def test_one_time_part_is_waited_for_and_not_repeated(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    once = Part("once", (sys.executable, "-S", "-c", "print('did it')"), {})
    async with running([once, fake_parts.make("a", after=("once",))], state, screen):
        pass
    text = screen.close()
    assert text.count("did it") == 1
    assert text.index("did it") < text.index("a says hello")


async def test_output_of_a_part_is_in_its_log_and_on_the_console(
    state: State, screen: Screen, fake_parts: FakeParts
) -> None:
    async with running([fake_parts.make("a")], state, screen):
        pass
    assert state.log_file("a").read_text() == "a says hello\n"
    assert "a                | a says hello\n" in screen.close()
