"""The rows of a CSV file, as RFC 4180 writes them: https://www.rfc-editor.org/rfc/rfc4180. Stricter than most readers: a quote inside a
field that is not quoted, or anything between a closing quote and the delimiter, is malformed."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TextIO

from local_stack.warehouse.files.refused import FileRefused

LONGEST_ROW = 10_000_000
"""In characters."""
Fields = list[str | None]


def csv_rows(file: TextIO, name: str, *, delimiter: str, skip: int, null_marker: str) -> Iterator[tuple[int, Fields]]:
    """Each row with the line, from 1, that it begins on; None where a field is the null marker and not quoted. Raises FileRefused."""
    for number, (line, row) in enumerate(_records(file, name)):
        if number < skip:
            continue
        if row == "":
            raise FileRefused(name, "the line is empty", line=line)
        if '"' not in row:
            yield line, [None if field == null_marker else field for field in row.split(delimiter)]
            continue
        fields = _quoted(row, delimiter, null_marker)
        if fields is None:
            raise FileRefused(name, "a quote stands where none may", line=line)
        yield line, fields


def _records(file: TextIO, name: str) -> Iterator[tuple[int, str]]:
    """The texts of the rows without their line ends: a line, or several where a quote is open at the end of one."""
    line = 0
    while text := file.readline(LONGEST_ROW + 1):
        line += 1
        start, parts, is_open = line, [text], text.count('"') % 2 == 1
        length = len(text)
        while is_open and length <= LONGEST_ROW:
            if not (more := file.readline(LONGEST_ROW + 1)):
                raise FileRefused(name, "a quote is not closed", line=start)
            line += 1
            parts.append(more)
            length += len(more)
            is_open = more.count('"') % 2 == 0
        if length > LONGEST_ROW:
            raise FileRefused(name, f"a row has more than {LONGEST_ROW} characters", line=start)
        yield start, _without_end("".join(parts))


def _without_end(text: str) -> str:
    return text[:-2] if text.endswith("\r\n") else text[:-1] if text.endswith(("\n", "\r")) else text


def _quoted(row: str, delimiter: str, null_marker: str) -> Fields | None:
    """The fields of a row that has quotes; None for one that is malformed."""
    fields: Fields = []
    position = 0
    field = _field(delimiter)
    while True:
        match = field.match(row, position)
        if match is None:
            return None
        if match["quoted"] is not None:
            fields.append(match["quoted"].replace('""', '"'))
        else:
            fields.append(None if match["bare"] == null_marker else match["bare"])
        position = match.end()
        if position == len(row) and not match["more"]:
            return fields


@lru_cache(maxsize=32)
def _field(delimiter: str) -> re.Pattern[str]:
    other = re.escape(delimiter)
    return re.compile(rf'(?:"(?P<quoted>(?:[^"]|"")*+)"|(?P<bare>[^"{other}]*+))(?:(?P<more>{other})|\Z)')
