"""What the emulator keeps, and the one file that it keeps it in.

The file is JSON, the dump of `State`. It holds key material in the clear, so it is mode 0600 in a directory of mode 0700. It is never
written in place: a new file is synced to disk and renamed over the old one, so that a crash leaves either the old state or the new.
"""

import fcntl
import os
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

VersionState = Literal["ENABLED", "DISABLED", "DESTROY_SCHEDULED", "DESTROYED"]


class Version(BaseModel):
    """One version of a key. `keyset` is a Tink keyset in JSON, None once the version is destroyed."""

    state: VersionState
    create_time: datetime
    destroy_time: datetime | None = None
    destroy_event_time: datetime | None = None
    keyset: str | None = Field(repr=False)


class Key(BaseModel):
    """A key and its versions by number, from 1. `primary` is the version that encrypts."""

    create_time: datetime
    labels: dict[str, str]
    destroy_scheduled_seconds: int
    primary: int | None = None
    versions: dict[int, Version] = {}


class KeyRing(BaseModel):
    """A key ring: nothing but a name."""

    create_time: datetime


class State(BaseModel):
    """Key rings and keys by resource name."""

    key_rings: dict[str, KeyRing] = {}
    keys: dict[str, Key] = {}


class StateFileError(Exception):
    """The directory belongs to another emulator that runs, or its file cannot be read. Never overwritten: it may hold the only keys."""


class StateFile:
    """`kms.json` in a directory of its own, locked for as long as the process lives."""

    def __init__(self, directory: Path) -> None:
        """Create the directory where it is missing and lock it. Raises StateFileError when another process has it."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._path = directory / "kms.json"
        try:
            fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._directory)
            raise StateFileError(f"another KMS emulator uses {directory}") from exc

    def load(self) -> State:
        """The state as last saved; an empty one in a new directory."""
        try:
            return State.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return State()
        except ValidationError as exc:
            fields = sorted(
                {".".join(map(str, error["loc"])) or "not JSON" for error in exc.errors(include_input=False)}
            )
            # Without the cause, which would quote the file.
            raise StateFileError(f"{self._path} is damaged: {', '.join(fields)}") from None

    def save(self, state: State) -> None:
        """Replace the file; on return the state is on disk."""
        replacement = self._path.with_suffix(".new")
        descriptor = os.open(replacement, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(state.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        replacement.replace(self._path)
        os.fsync(self._directory)

    def close(self) -> None:
        """Give up the lock."""
        os.close(self._directory)
