"""Every table that BigQuery would read is seen, also where it looks like an array of a table before it."""

import pytest

from common.errors import TableNotAllowed
from common.templates.tables import analyse, check_tables
from common.warehouse.warehouse import TableRef


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM `acme.cost` AS evil, `evil.t`",
        "SELECT * FROM `acme.cost` AS evil, evil.t",
        "SELECT * FROM `acme.cost` AS evil CROSS JOIN `evil.t` AS t",
        "SELECT * FROM `acme.evil`, evil.t",
        "SELECT (SELECT COUNT(*) FROM evil.t) FROM `acme.cost` AS evil",
        "SELECT * FROM `acme.cost` AS evil, UNNEST(evil.labels), evil.t",
    ],
)
def test_a_table_named_like_an_alias_is_a_table(sql: str) -> None:
    reads = analyse(sql)
    assert TableRef("evil", "t") in reads.tables
    with pytest.raises(TableNotAllowed):
        check_tables(reads.tables, "acme", {})
