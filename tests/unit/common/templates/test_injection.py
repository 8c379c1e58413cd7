"""Nothing that a request says changes what a statement does.

A value is refused, or else the statement that it leads to has the parse tree of the statement with harmless values: the same nodes in the
same order, the same literals, the same names, but for names that are themselves parameters, which are quoted and lie within reach.
"""

import json
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from common.errors import InvalidInput
from common.templates.catalog import Catalog, default_configs_dir
from common.templates.load import load_template
from common.templates.resolved import ResolvedStatement, ResolvedTemplate
from common.templates.tables import may_read
from common.templates.template import Template, TemplateName
from common.warehouse.warehouse import TableRef
from tests.unit.common.templates.every_place import ALL_PLACES, EVERY_PLACE
from tests.unit.common.templates.every_type import EVERY_TYPE, SOURCES, run

HOSTILE = [
    "", " ", "'", "''", "\\", "\\'", '"', "`", "``", "'''", '"""', "--", "#", "/*", "*/", ";", "{date}", "{{", "}}", "{", "@date", "@@x",
    "?", "\n", "\r", "\x00", "\u2028", "\ufeff", "\u2018", "\uff07", "NULL", "TRUE", "1", "0", "-1", "0.5", "1e9", "NaN", "inf", "b", "a",
    "true", "eu-1", "eu-1\n", "eu-1'", "2025-11-15", "2025-11-15'", "2025-11-15T06:00:00", "2025-11-15T06:00:00' OR '1'='1",
    "99999999999999999999", "{}", '{"a": 1}', "[1]", '"x"', "' OR 1=1 --", "2025-11-15' OR '1'='1",
    "plain'; DROP TABLE acme.api_keys; --", "'); DROP TABLE acme.api_keys; --", "` UNION ALL SELECT * FROM `techcorp.api_keys",
    "x UNION ALL SELECT key_hash FROM acme.api_keys", "') OR EXISTS(SELECT 1) OR ('", "\\' OR 1=1 #", "x` AS y, `z",
    "amount) FROM acme.api_keys --", "acme.api_keys", "api_keys", "API_KEYS", "_stage_x", "__TABLES__", "checked", "acme.checked",
    "chosen", "techcorp.cost_daily", "`techcorp`.cost_daily", "rates", "shared.rates", "cost_daily", "acme.cost_daily", "billing_export",
    "their-project.exports.billing", "amount", "Amount", "_x", "x" * 129, "a.b.c", "a.b.c.d", "cost_*", "cost$20251115",
    "INFORMATION_SCHEMA.TABLES", "information_schema", "read_text('/etc/hostname')", "(SELECT 1)", "sample_column_7",
    "replace_table", "replace_partition", "warn",
]  # fmt: skip


KEY = TemplateName("gcp", "cost", "example")


def loaded() -> Mapping[str, Template]:
    """Every shipped template, one with a parameter of every type, and each place where a parameter may stand."""
    catalog = Catalog(default_configs_dir())
    catalog.load()
    shipped = {str(entry.name): entry.template for entry in catalog.list() if entry.template}
    texts = {"every type": EVERY_TYPE, "all places": ALL_PLACES, **EVERY_PLACE}
    return {**shipped, **{name: load_template(text.encode(), KEY) for name, text in texts.items()}}


TEMPLATES = loaded()
WHOLE = TEMPLATES.keys() - EVERY_PLACE.keys()
PLAIN = {name: run(template) for name, template in TEMPLATES.items()}


@dataclass(frozen=True)
class Node:
    """A node of a parse tree: what is compared of it, and what it says where that is a name, a literal or a table."""

    kind: str
    text: str = ""
    quoted: bool = False


@lru_cache
def nodes(sql: str) -> tuple[Node, ...]:
    """A statement's parse tree as BigQuery's dialect has it, depth first."""
    return tuple(_nodes(sql))


def _nodes(sql: str) -> Iterator[Node]:
    for node in sqlglot.parse_one(sql, read="bigquery").walk(bfs=False):
        match node:
            case exp.Table():
                quoted = all(part.args.get("quoted") for part in node.parts)
                yield Node("Table", ".".join(part.name for part in node.parts), quoted)
            case exp.Identifier() if isinstance(node.parent, exp.Table):
                continue  # a name has two parts or three
            case exp.Identifier():
                yield Node("Identifier", str(node.this), bool(node.args.get("quoted")))
            case exp.Literal():
                yield Node("Literal", str(node.this), node.is_string)
            case _:
                yield Node(type(node).__name__)


def without_numbers(text: str) -> str:
    return re.sub(r"[0-9]+(\.[0-9]+)?", "N", text)


def assert_unchanged(hostile: ResolvedTemplate, plain: ResolvedTemplate, template: Template) -> None:
    given_names = {name for name, spec in template.parameters.items() if spec.type in ("table", "identifier")}
    names = {(dict(plain.parameters)[name], dict(hostile.parameters)[name]) for name in given_names}
    assert len(hostile.steps) == len(plain.steps)
    for step, plain_step in zip(hostile.steps, plain.steps, strict=True):
        assert (step.step_id, step.type, step.depends_on) == (
            plain_step.step_id,
            plain_step.type,
            plain_step.depends_on,
        )
        if step.query is not None and plain_step.query is not None:
            assert step.query.destination.table == plain_step.query.destination.table
            assert_same(step.query.select, plain_step.query.select, names, literals=True)
        if step.checked is not None:
            assert step.checked.table.dataset == "acme"
            assert may_read(step.checked.table, "acme", {})
        for check, plain_check in zip(step.checks, plain_step.checks, strict=True):
            assert check.type == plain_check.type
            assert_same(check.measure, plain_check.measure, names, literals=False)
            assert (check.sample is None) == (plain_check.sample is None)
            if check.sample is not None and plain_check.sample is not None:
                assert_same(check.sample, plain_check.sample, names, literals=False)


def assert_same(
    hostile: ResolvedStatement, plain: ResolvedStatement, names: set[tuple[str, str]], *, literals: bool
) -> None:
    """`names` are the values of parameters that are names: plain and hostile. Without `literals`, numbers that a check compares with may
    differ, which are the template's own or were read as numbers."""
    tables = set()
    for node, plain_node in zip(nodes(hostile.statement.sql), nodes(plain.statement.sql), strict=True):
        same = node == plain_node
        if not literals and node.kind == plain_node.kind == "Literal":
            same = without_numbers(node.text) == without_numbers(plain_node.text)
        if node.kind in ("Identifier", "Table") and not same:
            pairs = names | {(f"acme.{before}", f"acme.{after}") for before, after in names}
            same = (plain_node.text, node.text) in pairs and node.quoted == plain_node.quoted
        assert same, (node, plain_node, hostile.statement.sql)
        if node.kind == "Table" and "." in node.text:
            tables.add(TableRef.parse(node.text))
        elif node.kind == "Table":
            assert node.text == plain_node.text, "a common table expression"
    assert all(may_read(table, "acme", SOURCES) for table in tables)
    assert tables == set(hostile.tables)
    assert [(p.name, p.type, p.array) for p in hostile.statement.parameters] == [
        (p.name, p.type, p.array) for p in plain.statement.parameters
    ]


def accepted(name: str, parameters: Mapping[str, str]) -> bool:
    """Resolve with these values; what is not refused must be unchanged."""
    rest = dict(parameters)
    try:
        hostile = run(TEMPLATES[name], rest.pop("date", "2025-11-15"), **rest)
    except InvalidInput:
        return False
    assert_unchanged(hostile, PLAIN[name], TEMPLATES[name])
    return True


def attacks(name: str, *, parameters: Set[str]) -> set[str]:
    """Try every hostile text at each of these parameters alone; the parameters of which some text was taken."""
    taken = set()
    for parameter in sorted(parameters):
        is_json = TEMPLATES[name].parameters[parameter].type == "json"
        for text in HOSTILE:
            if accepted(name, {parameter: json.dumps({text: [text]}) if is_json else text}):
                taken.add(parameter)
    return taken


@pytest.mark.parametrize("name", EVERY_PLACE)
def test_no_known_attack_in_any_place_changes_a_statement(name: str) -> None:
    steps = EVERY_PLACE[name].partition("steps:\n")[2]
    used = set(re.findall(r"(?:\{|@)([a-z]+)\b", steps)) & TEMPLATES[name].parameters.keys()
    assert attacks(name, parameters=used) == used


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_no_known_attack_through_any_parameter_changes_a_statement(name: str) -> None:
    parameters = TEMPLATES[name].parameters.keys()
    assert attacks(name, parameters=parameters) == parameters


@pytest.mark.parametrize("name", sorted(WHOLE))
@settings(deadline=None, database=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_values_of_any_parameters_change_what_a_statement_does(name: str, data: st.DataObject) -> None:
    attack_some(name, data)


@settings(deadline=None, database=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_values_in_any_place_change_what_a_statement_does(data: st.DataObject) -> None:
    attack_some(data.draw(st.sampled_from(sorted(EVERY_PLACE)), label="place"), data)


def attack_some(name: str, data: st.DataObject) -> None:
    specs = TEMPLATES[name].parameters
    attack = st.one_of(st.text(max_size=40), st.sampled_from(HOSTILE), st.lists(st.sampled_from(HOSTILE)).map("".join))
    attacked = data.draw(st.sets(st.sampled_from(sorted(specs)), min_size=1, max_size=3), label="attacked")
    values = {
        parameter: data.draw(attack.map(json.dumps) if specs[parameter].type == "json" else attack, label=parameter)
        for parameter in sorted(attacked)
    }
    accepted(name, values)
