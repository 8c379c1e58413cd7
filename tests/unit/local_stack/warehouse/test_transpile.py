"""GoogleSQL as the local warehouse runs it, on a real DuckDB: what it answers is what BigQuery's documentation says."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from common.errors import ObjectNotFound, Terminal
from common.warehouse.warehouse import Column, Parameter, Statement, TableRef
from local_stack.warehouse.functions import FUNCTIONS
from local_stack.warehouse.transpile import transpile

D = Decimal
EVENTS = TableRef("d", "events")
SCHEMA = {
    EVENTS: (
        Column("id", "INT64"),
        Column("day", "DATE"),
        Column("at", "TIMESTAMP"),
        Column("local_time", "DATETIME"),
        Column("amount", "NUMERIC"),
        Column("measure", "FLOAT64"),
        Column("word", "STRING"),
        Column("flag", "BOOL"),
        Column("doc", "JSON"),
        Column("service", "RECORD", fields=(Column("id", "STRING"), Column("description", "STRING"))),
        Column("credits", "RECORD", "REPEATED", fields=(Column("name", "STRING"), Column("amount", "FLOAT64"))),
        Column("tags", "STRING", "REPEATED"),
    )
}
ROWS = """
    (1, DATE '2025-01-31', TIMESTAMPTZ '2025-01-31 23:30:00+00', TIMESTAMP '2025-01-31 10:00:00', 1.123456789, 2.5, 'abc', TRUE,
     '{"a": 1}', {'id': 's1', 'description': 'S'}, [{'name': 'x', 'amount': 1.5}, {'name': 'y', 'amount': 2.5}], ['p', 'q']),
    (2, DATE '2025-02-28', TIMESTAMPTZ '2025-02-28 00:30:00+00', NULL, 2, -2.5, 'dbc', FALSE,
     NULL, {'id': 's2', 'description': NULL}, [], [])
"""
T = "d.events WHERE id = 1"
JAN = datetime(2025, 1, 1, tzinfo=UTC)

# expression, value: evaluated as SELECT expression, or over the first row of d.events where it names a column
EXPRESSIONS: list[tuple[str, Any]] = [
    # NUMERIC
    ("CAST('1.123456789' AS NUMERIC)", D("1.123456789")),
    ("NUMERIC '0.000000001'", D("0.000000001")),
    ("CAST(0.0009765625 AS NUMERIC)", D("0.000976563")),
    ("CAST(CAST('0.0009765625' AS FLOAT64) AS NUMERIC)", D("0.000976563")),
    ("CAST(CAST('-0.0009765625' AS FLOAT64) AS NUMERIC)", D("-0.000976563")),
    ("CAST(CAST('12345678.123456789' AS FLOAT64) AS NUMERIC)", D("12345678.123456789")),
    ("CAST(CAST('1.0000000025' AS FLOAT64) AS NUMERIC)", D("1.000000002")),  # the FLOAT64 is 1.0000000024999...
    ("CAST((SELECT SUM(c.amount) FROM UNNEST(credits) AS c) AS NUMERIC)", D(4)),
    ("SAFE_CAST('x' AS NUMERIC)", None),
    ("SAFE_CAST(measure AS NUMERIC)", D("2.5")),
    ("amount * amount", D("1.262155157")),
    ("amount * 1.5", D("1.685185184")),
    ("amount / 3", D("0.374485596")),
    ("SAFE_DIVIDE(amount, 0)", None),
    ("ROUND(amount, 2)", D("1.12")),
    ("ROUND(CAST('2.5' AS NUMERIC))", D(3)),
    ("IFNULL(amount, 0)", D("1.123456789")),
    ("CAST(amount AS STRING)", "1.123456789"),
    ("CAST(CAST('1.50' AS NUMERIC) AS STRING)", "1.5"),
    ("CAST(CAST('100' AS NUMERIC) AS STRING)", "100"),
    # Numbers
    ("7 / 2", 3.5),
    ("DIV(7, 2)", 3),
    ("DIV(-7, 2)", -3),
    ("MOD(-7, 2)", -1),
    ("CAST(measure AS INT64)", 3),
    ("CAST(-measure AS INT64)", -3),
    ("CAST('12' AS INT64)", 12),
    ("SAFE_CAST('x' AS INT64)", None),
    ("ROUND(measure)", 3.0),
    ("ROUND(-measure)", -3.0),
    ("TRUNC(-measure)", -2.0),
    ("CEIL(measure)", 3.0),
    ("FLOOR(measure)", 2.0),
    ("ABS(-3)", 3),
    ("SIGN(-3)", -1),
    ("POW(2, 3)", 8.0),
    ("SQRT(4)", 2.0),
    ("LN(1)", 0.0),
    ("LOG(8, 2)", 3.0),
    ("EXP(0)", 1.0),
    ("SAFE_DIVIDE(1, 0)", None),
    ("SAFE_DIVIDE(1, 2)", 0.5),
    ("GREATEST(1, 2)", 2),
    ("GREATEST(1, NULL)", None),
    ("LEAST(1, 2)", 1),
    ("CAST(2.0 AS STRING)", "2"),
    ("CAST(TRUE AS STRING)", "true"),
    ("CAST(7 AS STRING)", "7"),
    # Conditions
    ("IF(flag AND NOT FALSE OR FALSE, 'y', 'n')", "y"),
    ("CASE WHEN id = 1 THEN 'a' ELSE 'b' END", "a"),
    ("COALESCE(NULL, 1)", 1),
    ("NULLIF(1, 1)", None),
    ("id IN UNNEST([1, 3])", True),
    ("2 IN UNNEST([1, 3])", False),
    ("1 IN UNNEST(CAST([] AS ARRAY<INT64>))", False),
    ("EXISTS(SELECT 1 FROM UNNEST(credits) AS c WHERE c.name = 'x')", True),
    ("word LIKE 'a%'", True),
    (r"'a_c' LIKE 'a\\_c'", True),
    (r"'abc' LIKE 'a\\_c'", False),
    # Strings and hashes
    ("CONCAT(word, 'x', '1')", "abcx1"),
    ("word || 'x'", "abcx"),
    ("LOWER('AB')", "ab"),
    ("UPPER('ab')", "AB"),
    ("TRIM('  a ')", "a"),
    ("RTRIM('a  ')", "a"),
    ("LENGTH('é')", 1),
    ("SUBSTR(word, 1, 2)", "ab"),
    ("SUBSTR(word, -1)", "c"),
    ("REPLACE(word, 'a', 'b')", "bbc"),
    ("SPLIT('a,b', ',')", ["a", "b"]),
    ("STRPOS(word, 'b')", 2),
    ("LPAD(word, 5, '0')", "00abc"),
    ("RPAD(word, 5, '0')", "abc00"),
    ("REVERSE(word)", "cba"),
    ("REPEAT('a', 3)", "aaa"),
    ("LEFT(word, 1)", "a"),
    ("RIGHT(word, 1)", "c"),
    ("STARTS_WITH(word, 'a')", True),
    ("ENDS_WITH(word, 'c')", True),
    ("REGEXP_CONTAINS(word, r'^a.c$')", True),
    ("REGEXP_CONTAINS(word, r'^b')", False),
    ("REGEXP_EXTRACT(word, r'a(.)c')", "b"),
    ("REGEXP_EXTRACT(word, r'z')", None),
    (r"REGEXP_REPLACE('a1b2', r'(\d)', r'<\1>')", "a<1>b<2>"),
    ("TO_HEX(SHA256('x'))", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
    ("TO_HEX(MD5('x'))", "9dd4e461268c8034f5c8564e155c67a6"),
    ("TO_BASE64(MD5('x'))", "ndTkYSaMgDT1yFZOFVxnpg=="),
    ("TO_BASE64(b'x')", "eA=="),
    ("LENGTH(GENERATE_UUID())", 36),
    ('"it\'s \\"q\\" \\\\"', 'it\'s "q" \\'),
    (r"r'a\b'", "a\\b"),
    # Dates and times
    ("DATE(at)", date(2025, 1, 31)),
    ("DATE(at, 'Europe/Berlin')", date(2025, 2, 1)),
    ("DATE(2025, 1, 2)", date(2025, 1, 2)),
    ("DATE('2025-01-02')", date(2025, 1, 2)),
    ("DATE_ADD(day, INTERVAL 1 MONTH)", date(2025, 2, 28)),
    ("DATE_SUB(day, INTERVAL 1 DAY)", date(2025, 1, 30)),
    ("DATE_TRUNC(day, MONTH)", date(2025, 1, 1)),
    ("DATE_TRUNC(day, QUARTER)", date(2025, 1, 1)),
    ("DATE_TRUNC(day, WEEK)", date(2025, 1, 26)),
    ("DATE_TRUNC(day, ISOWEEK)", date(2025, 1, 27)),
    ("DATE_DIFF(day, DATE '2025-01-01', DAY)", 30),
    ("DATE_DIFF(DATE '2025-02-01', DATE '2025-01-31', MONTH)", 1),
    ("DATE_DIFF(DATE '2025-01-26', DATE '2025-01-25', WEEK)", 1),
    ("LAST_DAY(DATE '2024-02-03')", date(2024, 2, 29)),
    ("TIMESTAMP_TRUNC(at, DAY)", datetime(2025, 1, 31, tzinfo=UTC)),
    ("TIMESTAMP_TRUNC(at, HOUR)", datetime(2025, 1, 31, 23, tzinfo=UTC)),
    ("TIMESTAMP_TRUNC(at, DAY, 'Europe/Berlin')", datetime(2025, 1, 31, 23, tzinfo=UTC)),
    ("TIMESTAMP_ADD(at, INTERVAL 1 HOUR)", datetime(2025, 2, 1, 0, 30, tzinfo=UTC)),
    ("TIMESTAMP_SUB(at, INTERVAL 1 DAY)", datetime(2025, 1, 30, 23, 30, tzinfo=UTC)),
    ("TIMESTAMP_DIFF(at, TIMESTAMP '2025-01-30 23:45:00+00', DAY)", 0),
    ("TIMESTAMP_DIFF(at, TIMESTAMP '2025-01-31 21:31:00+00', HOUR)", 1),
    ("TIMESTAMP_DIFF(at, TIMESTAMP '2025-01-31 23:29:59+00', MILLISECOND)", 1000),
    ("TIMESTAMP('2025-01-01 00:00:00')", JAN),
    ("TIMESTAMP('2025-01-01 01:00:00', 'Europe/Berlin')", JAN),
    ("TIMESTAMP(DATE '2025-01-01')", JAN),
    ("CAST('2025-01-01 00:00:00+00' AS TIMESTAMP)", JAN),
    ("DATETIME(at)", datetime(2025, 1, 31, 23, 30)),  # noqa: DTZ001
    ("DATETIME_ADD(local_time, INTERVAL 1 DAY)", datetime(2025, 2, 1, 10)),  # noqa: DTZ001
    ("DATETIME_SUB(local_time, INTERVAL 1 DAY)", datetime(2025, 1, 30, 10)),  # noqa: DTZ001
    ("DATETIME_TRUNC(local_time, DAY)", datetime(2025, 1, 31)),  # noqa: DTZ001
    ("DATETIME_DIFF(local_time, DATETIME '2025-01-30 23:00:00', DAY)", 1),
    ("EXTRACT(YEAR FROM day)", 2025),
    ("EXTRACT(DAYOFWEEK FROM DATE '2025-01-26')", 1),
    ("EXTRACT(DATE FROM at)", date(2025, 1, 31)),
    ("EXTRACT(DATE FROM at AT TIME ZONE 'Europe/Berlin')", date(2025, 2, 1)),
    ("EXTRACT(HOUR FROM at AT TIME ZONE 'Europe/Berlin')", 0),
    ("EXTRACT(ISOWEEK FROM DATE '2025-01-01')", 1),
    ("FORMAT_DATE('%Y%m', day)", "202501"),
    ("FORMAT_TIMESTAMP('%Y-%m-%d %H', at)", "2025-01-31 23"),
    ("FORMAT_DATETIME('%Y', local_time)", "2025"),
    ("PARSE_DATE('%Y%m%d', '20250102')", date(2025, 1, 2)),
    ("PARSE_TIMESTAMP('%Y-%m-%d', '2025-01-01')", JAN),
    ("UNIX_SECONDS(at)", 1738366200),
    ("UNIX_MILLIS(at)", 1738366200000),
    ("TIMESTAMP_SECONDS(1735689600)", JAN),
    ("TIMESTAMP_MILLIS(1735689600000)", JAN),
    ("CURRENT_DATE() >= DATE '2025-01-01'", True),
    ("CURRENT_TIMESTAMP() > TIMESTAMP '2025-01-01 00:00:00+00'", True),
    ("CAST(day AS STRING)", "2025-01-31"),
    ("CAST(at AS STRING)", "2025-01-31 23:30:00+00"),
    # Arrays, structs and JSON
    ("service.id", "s1"),
    ("credits[OFFSET(0)].name", "x"),
    ("credits[SAFE_OFFSET(9)].name", None),
    ("tags[ORDINAL(1)]", "p"),
    ("ARRAY_LENGTH(credits)", 2),
    ("ARRAY_TO_STRING(tags, '-')", "p-q"),
    ("ARRAY_CONCAT([1], [2])", [1, 2]),
    ("ARRAY_REVERSE([1, 2])", [2, 1]),
    ("ARRAY(SELECT c.name FROM UNNEST(credits) AS c ORDER BY c.name DESC)", ["y", "x"]),
    (
        "ARRAY(SELECT AS STRUCT c.name, c.amount FROM UNNEST(credits) AS c WHERE c.name = 'x')",
        [{"name": "x", "amount": 1.5}],
    ),
    ("STRUCT(1 AS a, 'x' AS b)", {"a": 1, "b": "x"}),
    ("(SELECT SUM(CAST(c.amount AS NUMERIC)) FROM UNNEST(credits) AS c)", D(4)),
    (
        "IFNULL((SELECT SUM(CAST(amount AS NUMERIC)) FROM UNNEST(credits)), 0)",
        D(4),
    ),  # the field, not the column of that name
    ("(SELECT STRING_AGG(c.name, ',' ORDER BY c.name) FROM UNNEST(credits) AS c)", "x,y"),
    ("(SELECT STRING_AGG(CONCAT(t, CAST(o AS STRING)) ORDER BY o) FROM UNNEST(tags) AS t WITH OFFSET AS o)", "p0,q1"),
    ("(SELECT MAX(offset) FROM UNNEST(credits) WITH OFFSET)", 1),
    ("TO_JSON_STRING(service)", '{"id":"s1","description":"S"}'),
    (
        "TO_JSON_STRING(ARRAY(SELECT AS STRUCT c.name FROM UNNEST(credits) AS c ORDER BY c.name))",
        '[{"name":"x"},{"name":"y"}]',
    ),
    ("TO_JSON_STRING(CAST(NULL AS STRING))", "null"),
    ("TO_JSON_STRING(doc)", '{"a":1}'),
    ("JSON_VALUE(doc, '$.a')", "1"),
    ("JSON_QUERY(doc, '$.a')", "1"),
    ("PARSE_JSON('{\"a\":1}')", '{"a":1}'),
    ("GENERATE_ARRAY(1, 3)", [1, 2, 3]),
    ("GENERATE_DATE_ARRAY(DATE '2025-01-31', DATE '2025-02-01')", [date(2025, 1, 31), date(2025, 2, 1)]),
]

# query, rows
QUERIES: list[tuple[str, list[tuple[Any, ...]]]] = [
    (
        "SELECT * EXCEPT (day, at, local_time, amount, measure, doc, service, credits, tags) FROM " + T,
        [(1, "abc", True)],
    ),
    ("SELECT e.* EXCEPT (id) FROM (SELECT 1 AS id, 2 AS b) AS e", [(2,)]),
    ("SELECT * REPLACE (a + 1 AS a) FROM (SELECT 1 AS a, 2 AS b)", [(2, 2)]),
    ("SELECT service.* FROM " + T, [("s1", "S")]),
    ("SELECT id FROM `local.d.events` ORDER BY id", [(1,), (2,)]),
    ("SELECT `d.events`.id FROM `d.events` WHERE id = 2", [(2,)]),
    ("SELECT id, c.name FROM d.events, UNNEST(credits) AS c ORDER BY 1, 2", [(1, "x"), (1, "y")]),
    ("SELECT e.id, c.name FROM d.events AS e, e.credits AS c ORDER BY c.name DESC", [(1, "y"), (1, "x")]),
    ("SELECT id, c.name FROM d.events LEFT JOIN UNNEST(credits) AS c ORDER BY 1, 2", [(1, "x"), (1, "y"), (2, None)]),
    ("SELECT id, o, t FROM d.events, UNNEST(tags) AS t WITH OFFSET AS o ORDER BY o", [(1, 0, "p"), (1, 1, "q")]),
    ("SELECT COUNTIF(flag), COUNT(*), COUNT(DISTINCT word) FROM d.events", [(1, 2, 2)]),
    ("SELECT SUM(amount), SUM(CAST(measure AS NUMERIC)), SUM(id) FROM d.events", [(D("3.123456789"), D(0), 3)]),
    ("SELECT AVG(amount), AVG(measure), MIN(id), MAX(id) FROM d.events", [(D("1.561728395"), 0.0, 1, 2)]),
    (
        "SELECT LOGICAL_OR(flag), LOGICAL_AND(flag), ANY_VALUE(1), APPROX_COUNT_DISTINCT(id) FROM d.events",
        [(True, False, 1, 2)],
    ),
    ("SELECT MAX_BY(word, id), MIN_BY(word, id) FROM d.events", [("dbc", "abc")]),
    (
        "SELECT ROUND(STDDEV(measure), 3), ROUND(STDDEV_SAMP(id), 3), VARIANCE(measure), CORR(id, id) FROM d.events",
        [(3.536, 0.707, 12.5, 1.0)],
    ),
    (
        "SELECT ARRAY_AGG(word IGNORE NULLS ORDER BY id DESC), STRING_AGG(word, '|' ORDER BY id) FROM d.events",
        [(["dbc", "abc"], "abc|dbc")],
    ),
    (
        "SELECT ROW_NUMBER() OVER w, RANK() OVER w, DENSE_RANK() OVER w, NTILE(2) OVER w FROM d.events WINDOW w AS (ORDER BY id)",
        [(1, 1, 1, 1), (2, 2, 2, 2)],
    ),
    (
        "SELECT LAG(id) OVER w, LEAD(id) OVER w, FIRST_VALUE(id) OVER w, LAST_VALUE(id) OVER w FROM d.events WINDOW w AS (ORDER BY id)",
        [(None, 2, 1, 1), (1, None, 1, 2)],
    ),
    (
        "SELECT PERCENT_RANK() OVER w, CUME_DIST() OVER w, NTH_VALUE(id, 1) OVER w FROM d.events WINDOW w AS (ORDER BY id)",
        [(0.0, 0.5, 1), (1.0, 1.0, 1)],
    ),
    ("SELECT id FROM d.events QUALIFY ROW_NUMBER() OVER (ORDER BY day DESC) = 1", [(2,)]),
    ("SELECT x FROM (SELECT 1 AS x UNION ALL SELECT NULL) ORDER BY x", [(None,), (1,)]),
    ("SELECT x FROM (SELECT 1 AS x UNION ALL SELECT NULL) ORDER BY x DESC", [(1,), (None,)]),
    ("WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS x FROM a) SELECT a.x, b.x AS y FROM a CROSS JOIN b", [(1, 2)]),
    ("SELECT word, SUM(id) AS n FROM d.events GROUP BY ROLLUP (word) HAVING n > 2", [(None, 3)]),
    (
        "SELECT x FROM UNNEST(GENERATE_DATE_ARRAY(DATE '2025-01-31', DATE '2025-02-01')) AS x",
        [(date(2025, 1, 31),), (date(2025, 2, 1),)],
    ),
]

REFUSED = [
    "SELECT read_text('/etc/hostname')",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM duckdb_settings()",
    "SELECT p.d.f(1)",
    "SELECT NET.HOST('a')",
    "SELECT SAFE.PARSE_DATE('%Y', 'x')",
    "SELECT @@project_id",
    "SELECT ?",
    "SELECT @missing",
    "SELECT FARM_FINGERPRINT('a')",
    "SELECT FORMAT('%d', 1)",
    "SELECT CAST(1 AS BIGNUMERIC)",
    "SELECT CAST(1 AS STRING FORMAT '9')",
    "SELECT ROUND(1.5, 0, 'ROUND_HALF_EVEN')",
    "SELECT ARRAY_AGG(id LIMIT 1) FROM d.events",
    "SELECT EXTRACT(WEEK FROM day) FROM d.events",
    "SELECT DATE_TRUNC(at, DAY) FROM d.events",
    "SELECT tags[0] FROM d.events",
    "SELECT TO_JSON_STRING(id, TRUE) FROM d.events",
    "SELECT * FROM d.events FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()",
    "SELECT * FROM d.events TABLESAMPLE SYSTEM (10 PERCENT)",
    "SELECT * FROM d.events PIVOT(SUM(id) FOR word IN ('a', 'b'))",
    "SELECT * FROM `d.events_*`",
    "SELECT * FROM d.INFORMATION_SCHEMA.TABLES",
    "SELECT * FROM events",
    "SELECT 1; SELECT 2",
    "",
    "SELEC 1",
    "COPY d.events TO 'x'",
    "ATTACH 'x'",
    "INSTALL httpfs",
    "PRAGMA version",
    "SET threads = 1",
    "CREATE TABLE d.x AS SELECT 1",
    "DROP TABLE d.events",
    "TRUNCATE TABLE d.events",
    "DELETE FROM d.events",
    "UPDATE d.events SET id = 1",
]


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"enable_external_access": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA d")
    connection.execute(
        """CREATE TABLE d.events (
            id BIGINT, day DATE, "at" TIMESTAMPTZ, local_time TIMESTAMP, amount DECIMAL(38, 9), measure DOUBLE, word VARCHAR,
            flag BOOLEAN, doc JSON, service STRUCT(id VARCHAR, description VARCHAR),
            credits STRUCT(name VARCHAR, amount DOUBLE)[], tags VARCHAR[])"""
    )
    connection.execute(f"INSERT INTO d.events VALUES {ROWS}")
    yield connection
    connection.close()


def run(database: duckdb.DuckDBPyConnection, sql: str, *parameters: Parameter) -> list[tuple[Any, ...]]:
    translation = transpile(Statement(sql, parameters), project="local", schema=SCHEMA)
    relation = database.sql(translation.sql, params=translation.values)
    return [tuple(row.values()) for row in relation.to_arrow_table().to_pylist()]


@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS, ids=[e for e, _ in EXPRESSIONS])
def test_expression_has_the_value_that_bigquery_gives_it(
    database: duckdb.DuckDBPyConnection, expression: str, value: Any
) -> None:
    assert run(database, f"SELECT {expression} AS x FROM {T}") == [(value,)]


@pytest.mark.parametrize(("query", "rows"), QUERIES, ids=[q[:60] for q, _ in QUERIES])
def test_query_yields_the_rows_that_bigquery_yields(
    database: duckdb.DuckDBPyConnection, query: str, rows: list[tuple[Any, ...]]
) -> None:
    assert run(database, query) == rows


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_not_known_to_mean_the_same_is_refused(database: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(Terminal):
        transpile(Statement(sql), project="local", schema=SCHEMA)


def test_every_function_that_is_let_through_has_a_case_here() -> None:
    sql = [f"SELECT {expression}" for expression, _ in EXPRESSIONS] + [query for query, _ in QUERIES]
    seen = {type(node) for text in sql for node in sqlglot.parse_one(text, dialect="bigquery").find_all(exp.Func)}
    assert sorted(function.__name__ for function in FUNCTIONS - seen) == []


def test_parameters_keep_their_types(database: duckdb.DuckDBPyConnection) -> None:
    parameters = (
        Parameter("n", "NUMERIC", D("1.123456789")),
        Parameter("at", "TIMESTAMP", JAN),
        Parameter("day", "DATE", date(2025, 1, 1)),
        Parameter("text", "STRING", "it's"),
        Parameter("raw", "BYTES", b"\x00\xff"),
        Parameter("many", "INT64", [1, 2], array=True),
        Parameter("none", "INT64", [], array=True),
        Parameter("nothing", "NUMERIC", None),
        Parameter("unused", "STRING", "x"),
    )
    sql = "SELECT @n AS n, @at, @DAY, @text, @raw, @many, @none, @nothing, 1 IN UNNEST(@many), 1 IN UNNEST(@none)"
    expected: tuple[object, ...] = (
        D("1.123456789"),
        JAN,
        date(2025, 1, 1),
        "it's",
        b"\x00\xff",
        [1, 2],
        [],
        None,
        True,
        False,
    )
    assert run(database, sql, *parameters) == [expected]


def test_an_interval_takes_a_parameter(database: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT DATE_ADD(DATE '2025-01-31', INTERVAL @n DAY)"
    assert run(database, sql, Parameter("n", "INT64", 1)) == [(date(2025, 2, 1),)]


def test_columns_without_a_name_are_called_as_in_bigquery() -> None:
    translation = transpile(Statement("SELECT 1, 2 AS b, 3"), project="local")
    assert translation.sql == 'SELECT 1 AS "f0_", 2 AS "b", 3 AS "f1_"'


@pytest.mark.parametrize(
    ("expression", "type_name"),
    [
        ("SUM(amount) / COUNT(*)", "DECIMAL(38,9)"),
        ("AVG(amount)", "DECIMAL(38,9)"),
        ("SUM(amount) * 1.5", "DECIMAL(38,9)"),
        ("AVG(measure)", "DOUBLE"),
        ("SUM(id) / 2", "DOUBLE"),
    ],
)
def test_arithmetic_keeps_numeric(database: duckdb.DuckDBPyConnection, expression: str, type_name: str) -> None:
    translation = transpile(Statement(f"SELECT {expression} FROM d.events"), project="local", schema=SCHEMA)
    assert [str(t) for t in database.sql(translation.sql).types] == [type_name]


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1 / 0", "SELECT TO_JSON_STRING(amount) FROM d.events", "SELECT TO_JSON_STRING(e) FROM d.events AS e"],
)
def test_an_answer_that_would_differ_is_an_error(database: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(duckdb.InvalidInputException):
        run(database, sql)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("INSERT d.events (id, amount) SELECT 7, CAST(1 AS NUMERIC)", 1),
        ("INSERT INTO d.events (id, word) VALUES (8, 'x'), (9, @word)", 2),
        ("UPDATE d.events AS e SET word = s.word FROM (SELECT 1 AS id, 'z' AS word) AS s WHERE e.id = s.id", 1),
        ("DELETE FROM d.events WHERE id > 1", 1),
        ("DELETE d.events WHERE TRUE", 2),
        (
            "MERGE d.events AS T USING (SELECT 1 AS id UNION ALL SELECT 5) AS S ON T.id = S.id "
            "WHEN MATCHED THEN UPDATE SET word = 'm' WHEN NOT MATCHED THEN INSERT (id, word) VALUES (S.id, 'n')",
            2,
        ),
        (
            "MERGE INTO d.events T USING (SELECT 1 AS id) S ON FALSE WHEN NOT MATCHED THEN INSERT (id) VALUES (id) "
            "WHEN NOT MATCHED BY SOURCE AND T.id = 2 THEN DELETE",
            2,
        ),
    ],
)
def test_dml_counts_the_rows_that_it_changed(database: duckdb.DuckDBPyConnection, sql: str, rows: int) -> None:
    translation = transpile(Statement(sql, (Parameter("word", "STRING", "y"),)), project="local", schema=SCHEMA)
    assert translation.target == EVENTS
    cursor = database.cursor()
    cursor.execute("BEGIN")
    assert cursor.execute(translation.sql, translation.values).fetchone() == (rows,)
    cursor.execute("ROLLBACK")


def test_tables_are_listed_once_and_without_our_project() -> None:
    sql = "WITH x AS (SELECT id FROM `local.a.t`) SELECT * FROM x JOIN a.t USING (id) JOIN b.u USING (id)"
    translation = transpile(Statement(sql), project="local")
    assert set(translation.tables) == {TableRef("a", "t"), TableRef("b", "u")}
    assert len(translation.tables) == 2


def test_a_table_of_another_project_does_not_exist() -> None:
    with pytest.raises(ObjectNotFound):
        transpile(Statement("SELECT * FROM `other.d.events`"), project="local")
