"""A state folder, a console whose lines can be awaited, and fake parts."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack.console import Console
from local_stack.part import Part
from local_stack.ports import assign
from local_stack.readiness import listens
from local_stack.state import State

from . import fake_part


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.prepare()
    return state


class Screen:
    """What a console printed into a pipe."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._writer = writer
        self.console = Console(writer)
        self._text = ""

    @property
    def text(self) -> str:
        try:
            while chunk := os.read(self.reader, 65536):
                self._text += chunk.decode()
        except BlockingIOError:
            pass
        return self._text

    def close(self) -> str:
        """Everything that was printed."""
        if self._writer >= 0:
            self.console.close()
            os.close(self._writer)
            self._writer = -1
            text = self.text
            os.close(self.reader)
            return text
        return self._text


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen()
    yield screen
    screen.close()


class FakeParts:
    """Makes parts, and knows in which order they started and ended."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        journal.touch()

    def make(self, name: str, *moods: str, after: tuple[str, ...] = (), stop_seconds: float = 10.0) -> Part:
        port = assign({name: 0})[name]
        command = (sys.executable, "-S", fake_part.__file__, str(port), str(self._journal), name, *moods)
        return Part(name, command, {"PYTHONUNBUFFERED": "1"}, listens(port), after, stop_seconds)

    @property
    def journal(self) -> list[str]:
        return self._journal.read_text().splitlines()


@pytest.fixture
def fake_parts(tmp_path: Path) -> FakeParts:
    return FakeParts(tmp_path / "journal")
