"""The folders that files may be read from, and nothing beside them.

A file is opened part by part, each relative to the folder that is open already and none through a symbolic link, so that there is no
moment at which a name could come to mean something else.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from common.errors import Terminal
from local_stack.warehouse.files.refused import FilesMissing

_MOST_FILES = 10_000
"""Of one job, as on BigQuery."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Folders:
    """Where files lie, by what their uris start with: `gs://bucket` for a folder that stands for a bucket, or the folder's own absolute
    path. Safe to use from many threads."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = {prefix.rstrip("/"): folder for prefix, folder in folders.items()}

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "Folders":
        """Folders under their own paths, which must be absolute."""
        return cls({str(path): path for path in paths})

    def find(self, uri: str) -> Sequence["SourceFile"]:
        """The files that a uri means, by name. The last part may hold one `*`: any characters of what follows, `/` among them.

        Raises Terminal: SOURCE_FILES_MISSING, LOCATION_NOT_ALLOWED for a uri that leads elsewhere.
        """
        folder, parts = self._located(uri)
        if "*" in parts[-1]:
            before, _, after = parts[-1].partition("*")
            with _opened(folder, parts[:-1]) as start:
                names = [name for name in _below(start) if _matches(name, before, after)]
        else:
            names = [parts[-1]]
        if len(names) > _MOST_FILES:
            raise Terminal(f"More than {_MOST_FILES} files match", reason="LOAD_FAILED")
        files = [SourceFile(folder, (*parts[:-1], *name.split("/"))) for name in sorted(names)]
        if not files:
            raise FilesMissing
        return files

    def _located(self, uri: str) -> tuple[Path, tuple[str, ...]]:
        for prefix, folder in self._folders.items():
            parts = tuple(uri.removeprefix(prefix + "/").split("/"))
            if uri.startswith(prefix + "/") and not {"", ".", ".."} & {*parts} and "\0" not in uri:
                if "*" in "".join(parts[:-1]) or parts[-1].count("*") > 1:
                    break
                return folder, parts
        raise Terminal("The files lie where this warehouse reads none", reason="LOCATION_NOT_ALLOWED")


class SourceFile:
    """A file below a folder, not yet opened. `name` is its path there."""

    def __init__(self, folder: Path, parts: tuple[str, ...]) -> None:
        self.name = "/".join(parts)
        self._folder = folder
        self._parts = parts

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it for reading. Raises FilesMissing, also for what is no regular file, such as a symbolic link."""
        with _opened(self._folder, self._parts[:-1]) as parent:
            try:
                descriptor = os.open(self._parts[-1], _FILE, dir_fd=parent)
            except OSError:
                raise FilesMissing from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FilesMissing
        with os.fdopen(descriptor, "rb") as file:
            yield file


@contextmanager
def _opened(folder: Path, parts: Sequence[str]) -> Iterator[int]:
    """A descriptor of a folder below `folder`, which itself may be reached through links: it is the operator's. Raises FilesMissing."""
    try:
        descriptor = os.open(folder, _FOLDER & ~os.O_NOFOLLOW)
        for part in parts:
            outer = descriptor
            try:
                descriptor = os.open(part, _FOLDER, dir_fd=outer)
            finally:
                os.close(outer)
    except OSError:
        raise FilesMissing from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _below(start: int) -> Iterator[str]:
    """Every regular file below an open folder, by its path there. Links are passed over."""
    with os.scandir(start) as entries:
        found = [
            (entry.name, entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)) for entry in entries
        ]
    for name, is_folder, is_file in found:
        if is_file:
            yield name
        elif is_folder:
            with suppress(OSError):  # gone, or a link by now
                inner = os.open(name, _FOLDER, dir_fd=start)
                try:
                    yield from (f"{name}/{path}" for path in _below(inner))
                finally:
                    os.close(inner)


def _matches(name: str, before: str, after: str) -> bool:
    return len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)
