"""Placeholders inside SQL text. No value is ever pasted into SQL: values are bound as query parameters, identifiers are quoted.

    FROM `{source.billing_export}`      an identifier inside backquotes: replaced by a name that was checked
    FROM {tenant_id}.cost_daily         outside of them: replaced and quoted
    WHERE day = '{date}'                a whole literal: bound, `WHERE day = @date`
    WHERE day = {date}                  a value as text, or inside a longer literal: refused

Reads GoogleSQL's tokens as far as it takes to tell these apart:
https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical. Comments are dropped, so that nothing in them needs a rule.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from common.templates.placeholders import TextRefused, names_in, render, unknown

_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | \#[^\n]* | /\*.*?\*/ )
  | (?P<bound> (?: \b(?P<typed>DATE|DATETIME|TIMESTAMP)\s* | (?<![A-Z0-9_]) )
               (?P<quote>['"]) \{ (?P<bound_name>[^{}'"\\\n]*) \} (?P=quote) )
  | (?P<literal> '''(?:\\.|[^\\])*?''' | \"\"\"(?:\\.|[^\\])*?\"\"\" | '(?:\\.|[^'\\\n])*' | "(?:\\.|[^"\\\n])*" )
  | (?P<quoted> `[^`\\\n]*` )
  | (?P<brace> \{\{ | \}\} )
  | (?P<before> [A-Z0-9_$@-]? ) \{ (?P<name>[^{}\n]*) \} (?= (?P<after>[A-Z0-9_$`{-]?) )
  | (?P<stray> ['"`{}] | /\* )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class SqlNames:
    """What placeholders of a SQL text may stand for.

    `identifiers` are names as they go between backquotes, already checked: `acme`, `project.dataset.table`. `values` are the names that
    can be bound. A name may be in both. `without_value` are identifiers that a run may leave out.
    """

    identifiers: Mapping[str, str]
    values: frozenset[str]
    without_value: frozenset[str]

    def __hash__(self) -> int:
        return hash((frozenset(self.identifiers.items()), self.values, self.without_value))


@lru_cache(maxsize=4096)
def bind(sql: str, names: SqlNames) -> str:
    """Replace the placeholders of a SQL text and drop a semicolon at its end; its lines stay where they are.

    Raises TextRefused, saying what to write instead. What a tenant's names make of a text does not change from run to run: hence the
    cache.
    """

    def replace(match: re.Match[str]) -> str:
        try:
            return _replacement(match, names)
        except TextRefused as refused:
            raise TextRefused(refused.reason, sql.count("\n", 0, match.start()) + refused.line) from None

    return _TOKEN.sub(replace, sql).rstrip().removesuffix(";")


def _replacement(match: re.Match[str], names: SqlNames) -> str:
    if (comment := match["comment"]) is not None:
        return " " + "\n" * comment.count("\n")
    if match["bound"] is not None:
        name = match["bound_name"]
        if name not in names.values:
            raise TextRefused(_not_bindable(name, names))
        parameter = f"@{name}" + "\n" * match["bound"].count("\n")
        return f"{match['typed']}({parameter})" if match["typed"] else parameter
    if (literal := match["literal"]) is not None:
        for name in names_in(literal):
            known = name in names.values or name in names.identifiers
            raise TextRefused(_inside_literal(name) if known else unknown(name))
        return render(literal, {})
    if (quoted := match["quoted"]) is not None:
        for name in names_in(quoted):
            _require_identifier(name, names)
        return render(quoted, names.identifiers)
    if match["brace"] is not None:
        return match["brace"][0]
    if match["stray"] is not None:
        raise TextRefused(f"{match['stray']} has no counterpart")
    name = match["name"]
    _require_identifier(name, names)
    if match["before"] or match["after"]:
        raise TextRefused(f"{{{name}}} touches other characters: put all of the name between backquotes")
    return f"`{names.identifiers[name]}`"


def _require_identifier(name: str, names: SqlNames) -> None:
    if name in names.identifiers:
        return
    if name in names.values and name not in names.without_value:
        raise TextRefused(f"{{{name}}} is a value, and values are bound: write @{name}")
    raise TextRefused(unknown(name, names.without_value))


def _not_bindable(name: str, names: SqlNames) -> str:
    if name in names.identifiers:
        return f"{{{name}}} is an identifier and cannot stand in a literal"
    return unknown(name)


def _inside_literal(name: str) -> str:
    return f"{{{name}}} stands inside a longer literal: bind it, for example CONCAT('...', @{name})"
