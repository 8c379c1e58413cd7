"""GoogleSQL as the local warehouse runs it, on a real DuckDB: what it answers is what BigQuery's documentation says."""

import random
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from common.errors import ObjectNotFound, Terminal
from common.warehouse.columns import Column
from common.warehouse.warehouse import Parameter, Statement, TableRef
from local_stack.warehouse.functions import FUNCTIONS
from local_stack.warehouse.transpile import transpile
from tests.unit.local_stack.warehouse.googlesql_cases import EXPRESSIONS, JAN, QUERIES, REFUSED, D, T

EVENTS = TableRef("d", "events")
SCHEMA = {
    EVENTS: (
        Column("id", "INT64"),
        Column("day", "DATE"),
        Column("moment", "TIMESTAMP"),
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


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect(config={"enable_external_access": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA d")
    connection.execute(
        """CREATE TABLE d.events (
            id BIGINT, day DATE, "moment" TIMESTAMPTZ, local_time TIMESTAMP, amount DECIMAL(38, 9), measure DOUBLE, word VARCHAR,
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


def test_a_float64_becomes_numeric_by_its_exact_value_rounded_half_away_from_zero(
    database: duckdb.DuckDBPyConnection,
) -> None:
    chance = random.Random(9)
    values = [chance.choice((-1, 1)) * chance.random() * 10.0 ** chance.randint(-9, 17) for _ in range(4000)]
    values += [chance.randint(-(10**7), 10**7) / 1024 for _ in range(1000)]  # ties among them
    values += [round(chance.random() * 10.0**digits, 10) for digits in range(8) for _ in range(200)]
    sql = "SELECT CAST(x AS NUMERIC) AS x, SAFE_CAST(x AS NUMERIC) AS y FROM UNNEST(@values) AS x WITH OFFSET AS o ORDER BY o"
    exact = [D(value).quantize(D("1e-9"), ROUND_HALF_UP) for value in values]
    assert run(database, sql, Parameter("values", "FLOAT64", values, array=True)) == [(x, x) for x in exact]


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
    cursor = database.cursor()
    cursor.execute("BEGIN")
    assert cursor.execute(translation.sql, translation.values).fetchone() == (rows,)
    cursor.execute("ROLLBACK")


def test_text_that_comes_again_is_bound_to_its_own_values_and_types(database: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT @x"
    assert run(database, sql, Parameter("x", "INT64", 1)) == [(1,)]
    assert run(database, sql, Parameter("x", "INT64", 2)) == [(2,)]
    assert run(database, sql, Parameter("x", "STRING", "2")) == [("2",)]
    assert run(database, sql, Parameter("x", "INT64", [1, 2], array=True)) == [([1, 2],)]


def test_tables_are_listed_once_and_without_our_project() -> None:
    sql = "WITH x AS (SELECT id FROM `local.a.t`) SELECT * FROM x JOIN a.t USING (id) JOIN b.u USING (id)"
    translation = transpile(Statement(sql), project="local")
    assert set(translation.tables) == {TableRef("a", "t"), TableRef("b", "u")}
    assert len(translation.tables) == 2


def test_a_table_of_another_project_does_not_exist() -> None:
    with pytest.raises(ObjectNotFound):
        transpile(Statement("SELECT * FROM `other.d.events`"), project="local")
