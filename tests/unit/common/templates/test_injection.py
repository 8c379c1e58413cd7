"""Nothing that a request says changes what a statement does."""

from collections.abc import Mapping

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InvalidInput
from common.templates.catalog import Catalog, default_configs_dir
from common.templates.load import load_template
from common.templates.order import tables_read
from common.templates.resolved import ResolvedStatement
from common.templates.tables import may_read
from common.templates.template import Template, TemplateName
from tests.unit.common.templates.every_type import EVERY_TYPE, SOURCES, run, statements

HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "'", "\\", "\\'", '"', "`", "'''", "--", "/*", "*/", ";", "{date}", "{{", "@date", "\n", "\0", "NULL",
            "' OR 1=1 --", "2025-11-15' OR '1'='1", "'); DROP TABLE acme.api_keys; --", "` UNION ALL SELECT * FROM `techcorp.api_keys",
            "x UNION ALL SELECT key_hash FROM acme.api_keys", "acme.api_keys", "techcorp.cost_daily", "rates", "cost_daily", "amount",
            "read_text('/etc/hostname')", "2025-11-15", "1", "0.5", "true", "b", "a.b.c", "INFORMATION_SCHEMA.TABLES",
        ]
    ),
)  # fmt: skip


def skeleton(statement: ResolvedStatement) -> list[str]:
    """The kinds of the nodes of a statement's parse tree; how a table's name is divided among them left out."""
    tree = sqlglot.parse_one(statement.statement.sql, read="bigquery")
    return [type(node).__name__ for node in tree.walk() if not isinstance(node, sqlglot.exp.Identifier)]


def templates() -> Mapping[str, Template]:
    """Every shipped template, and one with parameters of every type."""
    catalog = Catalog(default_configs_dir())
    catalog.load()
    shipped = {str(entry.name): entry.template for entry in catalog.list() if entry.template}
    return {**shipped, "every type": load_template(EVERY_TYPE.encode(), TemplateName("gcp", "cost", "example"))}


TEMPLATES = templates()


@pytest.mark.parametrize("name", TEMPLATES)
@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_value_of_any_parameter_changes_what_a_statement_does(name: str, data: st.DataObject) -> None:
    template = TEMPLATES[name]
    plain = run(template)
    parameters = {
        parameter: data.draw(HOSTILE, label=parameter)
        for parameter in template.parameters
        if data.draw(st.booleans(), label=f"give {parameter}")
    }
    day = parameters.pop("date", "2025-11-15")
    try:
        hostile = run(template, day, **parameters)
    except InvalidInput:
        return
    assert [skeleton(statement) for statement in statements(hostile)] == [skeleton(s) for s in statements(plain)]
    for step in hostile.steps:
        assert all(may_read(table, "acme", SOURCES) for table in tables_read(step))
