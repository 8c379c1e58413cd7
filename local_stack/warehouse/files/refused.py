"""Why files are not loaded. No text of theirs is ever repeated: a row may hold what its reader must not see."""

from common.errors import Terminal


class FileRefused(Terminal):
    """A file that does not hold what the columns say: its path below the folder, and the line, from 1, where the row begins."""

    def __init__(self, file: str, problem: str, *, line: int | None = None) -> None:
        self.file = file
        place = f"{file}, line {line}" if line is not None else file
        super().__init__(f"A file holds what the columns do not allow: {place}: {problem}", reason="LOAD_FAILED")


class FilesMissing(Terminal):
    """No file where the job looks for some."""

    def __init__(self) -> None:
        super().__init__("No file matches", reason="SOURCE_FILES_MISSING")


class Malformed(ValueError):
    """A value that its column does not take; the text says what it takes."""
