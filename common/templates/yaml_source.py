"""Reading a YAML file into plain values while keeping the line of each, so that every problem can be reported as `file:line: reason`.

Stricter than YAML: the safe loader only, a mapping's keys are strings and occur once, and there are no aliases, so a small file stays
small.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top, for example `("steps", 0, "sql")`."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file does not load. `file` is relative to the configs directory; lines count from 1."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class DoesNotLoad(ValueError):
    """A file's problems, every one that could be found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(sorted(set(problems), key=lambda problem: (problem.line, problem.reason)))


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A file's values and the lines that they stand on."""

    file: str
    data: Mapping[str, Any]
    _lines: Mapping[Path, int]
    _text_lines: Mapping[Path, int]

    def line(self, path: Path, text_line: int = 0) -> int:
        """The line of the value at `path`, or of what it would stand in, plus `text_line` lines for a text block (`|`).

        Parts of the path that the file does not have are passed over, as Pydantic puts the names of union members into its paths.
        """
        known: Path = ()
        for part in path:
            if (*known, part) in self._lines:
                known = (*known, part)
        return self._text_lines[known] + text_line if known in self._text_lines else self._lines[known]

    def problem(self, path: Path, reason: str, text_line: int = 0) -> Problem:
        """A problem of the value at `path`."""
        return Problem(self.file, self.line(path, text_line), reason)


def read_yaml(text: str, *, file: str) -> YamlSource:
    """Parse one document whose top is a mapping. Raises DoesNotLoad."""
    try:
        loader = yaml.SafeLoader(text)
        reader = _Reader(file, loader)
        root = loader.get_single_node()
        data = reader.value(root, ()) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise DoesNotLoad([Problem(file, line, f"is not YAML: {error.problem or error.context}")]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, DoesNotLoad):
            raise
        raise DoesNotLoad([Problem(file, 1, f"is not YAML: {str(error) or 'nested too deeply'}")]) from error
    if reader.problems:
        raise DoesNotLoad(reader.problems)
    if not isinstance(data, dict):
        raise DoesNotLoad([Problem(file, 1, "holds no mapping of keys to values")])
    return YamlSource(file, data, reader.lines, reader.text_lines)


class _Reader:
    """Turns nodes into values, noting lines and problems."""

    def __init__(self, file: str, loader: yaml.SafeLoader) -> None:
        self._file = file
        self._loader = loader
        self._seen: set[int] = set()
        self.lines: dict[Path, int] = {}
        self.text_lines: dict[Path, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if id(node) in self._seen:
            self.problems.append(Problem(self._file, line, "aliases are not supported"))
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.style == "|":
            self.text_lines[path] = line + 1
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                self.problems.append(Problem(self._file, line, f"the key {key!r} is no text"))
            elif key in mapping:
                self.problems.append(Problem(self._file, line, f"the key {key!r} stands here twice"))
            else:
                self.lines[(*path, key)] = line
                mapping[key] = self.value(value_node, (*path, key))
        return mapping
