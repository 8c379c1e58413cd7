"""Templates that attack: each must be refused as it loads, at the line that is named, and stop no other. And some that load."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BadTemplate:
    """A file's text, the line of what is wrong with it, and a part of what is said of that."""

    text: str
    line: int
    reason: str


def _sql(sql: str, line: int, reason: str) -> BadTemplate:
    """A template whose only step runs this SQL, which begins on line 7."""
    text = "".join(f"      {part}\n" for part in sql.split("\n"))
    head = "description: x\nparameters: {note: {type: string, default: a}}\nsteps:\n  - id: a\n    type: query\n    sql: |\n"
    return BadTemplate(f"{head}{text}    destination: {{table: t, write: replace_table}}\n", line, reason)


def _steps(*steps: str, line: int, reason: str) -> BadTemplate:
    """A template of these steps, the first on line 3."""
    return BadTemplate("description: x\nsteps:\n" + "".join(f"  - {step}\n" for step in steps), line, reason)


_QUERY = (
    "{{id: {0}, type: query, depends_on: [{1}], sql: SELECT 1 AS x, destination: {{table: {2}, write: replace_table}}}}"
)

BAD = {
    "reads_a_file": _sql("SELECT *\nFROM read_text('/etc/hostname')", 8, "the function READ_TEXT is not allowed"),
    "calls_a_function_of_anybodys": _sql("SELECT p.d.f(x) AS y", 7, "not allowed"),
    "calls_a_quoted_function_of_anybodys": _sql("SELECT `p.d.f`(1) AS y", 7, "is not allowed"),
    "reads_keys": _sql("SELECT * FROM `{tenant_id}.api_keys`", 7, "metadata and staging tables are not allowed"),
    "reads_keys_in_capitals": _sql("SELECT * FROM `{tenant_id}.API_KEYS`", 7, "metadata and staging tables"),
    "reads_a_stage": _sql("SELECT * FROM `{tenant_id}._stage_a`", 7, "metadata and staging tables are not allowed"),
    "reads_by_wildcard": _sql("SELECT * FROM `{tenant_id}.cost*`", 7, "wildcards, decorators"),
    "inserts_a_key": _sql("INSERT INTO `{tenant_id}.api_keys` (key_id) VALUES ('mine')", 7, "must be a SELECT"),
    "drops_a_table": _sql("SELECT 1 AS x; DROP TABLE `{tenant_id}.api_keys`", 7, "must be one statement"),
    "pastes_a_value": _sql("SELECT 1 AS x\nWHERE 'b' = {note}", 8, "{note} is a value, and values are bound: write @note"),
    "pastes_into_a_literal": _sql("SELECT 'is {note}' AS x", 7, "{note} stands inside a longer literal"),
    "names_what_is_unknown": _sql("SELECT 1 AS x\nFROM `{nope}.t`", 8, "unknown placeholder {nope}"),
    "writes_to_keys": _steps(_QUERY.format("a", "", "api_keys"), line=3, reason="metadata and staging tables"),
    "writes_to_a_stage": _steps(_QUERY.format("a", "", "_stage_a"), line=3, reason="metadata and staging tables"),
    "waits_for_itself": _steps(
        _QUERY.format("a", "b", "t"), _QUERY.format("b", "a", "u"), line=2, reason="the steps wait for each other"
    ),
    "says_it_twice": _steps("id: a\n    id: b", line=4, reason="the key 'id' stands here twice"),
    "is_no_yaml": BadTemplate("description: x\nsteps: [\n", 3, "is not YAML"),
    "runs_python": BadTemplate(
        f"description: !!python/object/apply:os.system [id]\nsteps:\n  - {_QUERY.format('a', '', 't')}\n",
        1,
        "description: Input should be a valid string",
    ),
}  # fmt: skip

ANY_TABLE = {
    "any_table": """
description: Counts the rows of any table that the tenant may read
parameters:
  input: {type: table, required: true}
steps:
  - id: count
    type: query
    sql: SELECT COUNT(*) AS number FROM {input}
    destination: {table: counted, write: replace_table}
""",
    "any_table_of_a_day": """
description: Counts the rows of any table that the tenant may read, for a day
parameters:
  date: {type: date, required: true}
  input: {type: table, required: true}
steps:
  - id: count
    type: query
    sql: SELECT DATE '{date}' AS day, COUNT(*) AS number FROM {input}
    destination: {table: counted_by_day, write: replace_table}
""",
    "failing": """
description: Publishes nothing, since its only check fails
steps:
  - id: load
    type: query
    sql: SELECT 1 AS number
    destination: {table: never, write: replace_table}
    checks:
      - {type: row_count, min: 2}
""",
}
