"""Placeholders `{name}` outside SQL: found, and replaced by text. `{{` and `}}` are literal braces. Inside SQL see `sql_text.py`."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

NAME = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?"
_BRACES = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}|[{}]")

BUILT_IN = ("tenant_id", "provider", "domain", "template_name", "pipeline_id")
"""Placeholders that every template may use, besides its parameters and `source.*`."""
RELATIVE_DAYS = ("today", "yesterday")
"""Placeholders of the default, min and max of a date or datetime: see `parameter_spec.relative_days`."""


class TextRefused(ValueError):
    """A text of a template that is refused, and why. `line` counts from 0 inside the text."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


def render(text: str, values: Mapping[str, str], *, without_value: Collection[str] = ()) -> str:
    """Replace every placeholder. Raises TextRefused for one that is not in `values`; `without_value` only words it better."""

    def replace(match: re.Match[str]) -> str:
        token, name = match.group(), match.group(1)
        if token in ("{{", "}}"):
            return token[0]
        line = text.count("\n", 0, match.start())
        if name is None:
            raise TextRefused(f"a literal {token} is written {token * 2}", line)
        if name not in values:
            raise TextRefused(unknown(name, without_value), line)
        return values[name]

    return _BRACES.sub(replace, text)


def unknown(name: str, without_value: Collection[str] = ()) -> str:
    """What is wrong with a placeholder that has no value."""
    if name in without_value:
        return f"{{{name}}} may have no value: make the parameter required or give it a default"
    if name in RELATIVE_DAYS:
        return f"{{{name}}} stands only in the default, min or max of a date or datetime: declare such a parameter"
    return f"unknown placeholder {{{name}}}"


def names_in(value: Any) -> Iterator[str]:
    """The name of every placeholder in every text of nested mappings and lists."""
    if isinstance(value, str):
        yield from (match[1] for match in _BRACES.finditer(value) if match[1] is not None)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from names_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)
