"""A parameter of every type in every place where a template may have one: each place in a template of its own, so that no place hides
what another would let through, and all of them in one."""

from collections.abc import Mapping

_PARAMETERS = """\
description: Of {tenant_id}, {text}
parameters:
  date: {type: date, default: 2025-11-15, description: "{tenant_id}"}
  at: {type: datetime, default: "{yesterday}T06:00", max: "{today}"}
  count: {type: integer, default: 3, min: 1, max: 10}
  ratio: {type: number, default: 0.5, min: 0.000000001, max: 1000000}
  text: {type: string, default: plain}
  code: {type: string, default: "eu-1", pattern: "[a-z]{2}-[0-9]+", max_length: 10}
  kind: {type: enum, values: [a, b], default: a}
  severity: {type: enum, values: [error, warn], default: warn}
  mode: {type: enum, values: [replace_partition], default: replace_partition}
  flag: {type: boolean, default: true}
  input: {type: table, default: sample_table_7}
  column: {type: identifier, default: sample_column_7}
  filter: {type: json, default: {a: [1, "x"]}}
  note: {type: string}
steps:
"""
_BOUND = {
    name: f"@{name}"
    for name in ("date", "at", "count", "ratio", "text", "code", "kind", "flag", "input", "column", "filter", "note")
}
_LITERALS = {name: f"'{{{name}}}'" for name in _BOUND}
_EXPRESSIONS = {
    **{f"{name} bound": sql for name, sql in _BOUND.items()},
    **{f"{name} as a literal": sql for name, sql in _LITERALS.items()},
    "text in double quotes": '"{text}"',
    "date of a type": "DATE '{date}'",
    "date as a timestamp": 'TIMESTAMP("{date}")',
    "datetime of a type": "DATETIME '{at}'",
    "datetime as a timestamp": "TIMESTAMP '{at}'",
    "text beside braces": "CONCAT('x{{', @text, '}}')",
    "json taken apart": "JSON_VALUE(@filter, '$.a')",
    "identifier as a column": "{column}",
    "identifier in backquotes": "`{column}`",
    "identifier of a table's": "r.{column}",
    "identifier of a struct's": "r.labels.{column}",
    "identifier compared": "r.{column} = @text",
}
_SOURCES = {
    "table": "{input}",
    "table with an alias": "{input} AS t",
    "identifier as a table": "{tenant_id}.{column}",
    "identifier as a table in backquotes": "`{tenant_id}.{column}`",
    "identifier as a table in backquotes of its own": "{tenant_id}.`{column}`",
    "table in a subquery": "(SELECT * FROM {input}) AS t",
}
_FIELDS = {
    "write and partition": 'write: "{mode}", partition: {column: day, value: "{date}"}, clustering: [day]',
    "clustering": 'write: replace_table, clustering: ["{column}"]',
    "keys": 'write: merge, keys: ["{column}", x]',
}
_CHECKS = {
    "name and severity": '{type: not_null, column: x, name: "not_null_{kind}", severity: "{severity}"}',
    "column": '{type: not_null, column: "{column}"}',
    "columns": '{type: unique, columns: [x, "{column}"]}',
    "accepted texts": '{type: accepted_values, column: x, values: ["{text}", "{kind}", "{code}", fixed]}',
    "accepted numbers": '{type: accepted_values, column: x, values: ["{count}", "{ratio}", 7]}',
    "accepted days": '{type: accepted_values, column: x, values: ["{date}", 2025-01-01]}',
    "range of numbers": '{type: range, column: x, min: 0, max: "{ratio}"}',
    "range of times": '{type: range, column: x, min: "{date}", max: "{at}"}',
    "row count": '{type: row_count, min: "{count}", max_change: "{ratio}"}',
    "freshness": '{type: freshness, column: x, max_age: "{count}d"}',
    "relationships": '{type: relationships, column: x, to: "{input}", field: id}',
    "relationships by column": '{type: relationships, column: x, to: rates, field: "{column}"}',
    "expression": "{type: expression, sql: \"{column} > @ratio AND '{kind}' = '{text}'\"}",
    "reconcile": '{type: reconcile, measure: "SUM({column}) + @count", with: "SELECT SUM({column}) FROM {input}", tolerance: "{ratio}"}',
}  # fmt: skip
_ANY_COLUMNS = "SELECT *\n      FROM `{source.rates}` AS r"
_REPLACE = "write: replace_table"


def _query(sql: str, destination: str = _REPLACE, check: str = "{type: row_count, min: 1}", more: str = "") -> str:
    return (
        f"  - id: only\n    type: query\n    sql: |\n      {sql}\n"
        f"    destination: {{table: out, {destination}}}\n{more}    checks:\n      - {check}\n"
    )


def _dq(*, table: str = "out", partition: str = "") -> str:
    return f"  - {{id: only, type: dq, table: {table}, {partition} checks: [{{type: row_count, min: 1}}]}}\n"


_VIEWS = {
    "column": "SELECT {column} AS x\n      FROM {tenant_id}.rates_kept AS r",
    "table": "SELECT *\n      FROM {input} AS r",
    "identifier as a table": "SELECT *\n      FROM `{tenant_id}.{column}` AS r",
}

_STEPS = {
    **{name: _query(f"SELECT {sql} AS x\n      FROM `{{source.rates}}` AS r") for name, sql in _EXPRESSIONS.items()},
    **{name: _query(f"SELECT *\n      FROM {sql}\n      WHERE day = '{{date}}'") for name, sql in _SOURCES.items()},
    **{f"destination: {name}": _query(_ANY_COLUMNS, destination=fields) for name, fields in _FIELDS.items()},
    **{f"check: {name}": _query(_ANY_COLUMNS, check=check) for name, check in _CHECKS.items()},
    **{f"view: {name}": _query(sql, destination="write: view") for name, sql in _VIEWS.items()},
    "limits": _query(
        _ANY_COLUMNS,
        more='    timeout: "{count}m"\n    max_attempts: "{count}"\n    max_bytes_billed: "{count}GiB"\n',
    ),
    "condition": _query(
        _ANY_COLUMNS, more="    when: SELECT COUNT(*) > @count FROM `{source.rates}` WHERE {column} = '{text}'\n"
    ),
    "newest row": _query(
        _ANY_COLUMNS,
        more="    newest_source_row: SELECT MAX(TIMESTAMP({column})) FROM `{source.rates}` WHERE day = @date AND name = '{text}'\n",
    ),
    "table that is checked": _dq(table='"{column}"'),
    "partition that is checked": _dq(partition='partition: {column: "{column}", value: "{date}"},'),
}
EVERY_PLACE: Mapping[str, str] = {name: _PARAMETERS + step for name, step in _STEPS.items()}
"""A template for each place, by what stands where."""
ALL_PLACES = _PARAMETERS + "".join(
    step.replace("id: only", f"id: step_{n}").replace("table: out", f"table: out_{n}")
    for n, step in enumerate(_STEPS.values())
)
"""One template with all of them."""
