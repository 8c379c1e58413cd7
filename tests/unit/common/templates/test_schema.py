"""The schema for editors: it accepts what loads, placeholders included, and refuses what a person gets wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from common.templates.catalog import default_configs_dir, template_files
from common.templates.schema import template_schema
from tests.unit.common.templates.conftest import Load
from tests.unit.common.templates.every_type import EVERY_TYPE
from tests.unit.common.templates.test_load import GOOD

VALIDATOR = Draft202012Validator(template_schema())
CONFIGS = default_configs_dir()
SHIPPED: Mapping[str, Path] = {str(key): path for key, path in template_files(CONFIGS).items()}
LOADING = {
    **{name: path.read_text() for name, path in SHIPPED.items()},
    "every type": EVERY_TYPE,
    "good": GOOD,
}
PLACEHOLDERS = """\
description: "{tenant_id}"
parameters:
  date: {type: date, default: "{yesterday}", min: 2020-01-01, max: "{today}"}
  n: {type: integer, default: 3, min: 1, max: 10}
  share: {type: number, default: 0.5, max: 1}
  mode: {type: enum, values: [replace_table, replace_partition], default: replace_partition}
  severity: {type: enum, values: [warn, error], default: warn}
  column: {type: identifier, default: day}
  filter: {type: json, default: {a: [1, null]}}
  region: {type: string, pattern: "[a-z]{2}", max_length: 2, default: eu}
steps:
  - id: merged
    type: query
    sql: SELECT @date AS day
    destination: {table: merged, write: merge, keys: ["{column}"]}
  - {id: viewed, type: query, sql: "SELECT 1 AS {column}", destination: {table: viewed, write: view}}
  - id: "first_{domain}"
    type: query
    sql: SELECT @date AS day
    destination:
      {table: "{domain}_daily", write: "{mode}", partition: {column: day, value: "{date}"}, clustering: ["{column}"]}
    timeout: "{n}m"
    max_attempts: "{n}"
    max_bytes_billed: "{n}GiB"
    checks:
      - {type: row_count, min: "{n}", severity: "{severity}"}
      - {type: unique, columns: ["{column}"], name: "unique_{domain}"}
      - {type: reconcile, measure: COUNT(*), with: SELECT 1, tolerance: "{share}"}
"""


class EditorsLoader(yaml.SafeLoader):
    """YAML as editors read it: a day is a text there."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as PyYAML has it
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def problems(text: str) -> list[str]:
    data = yaml.load(text, Loader=EditorsLoader)
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(data)]


def test_the_published_schema_is_the_one_of_the_model() -> None:
    assert json.loads((CONFIGS / "template.schema.json").read_text()) == template_schema()


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(template_schema())


@pytest.mark.parametrize("name", LOADING)
def test_a_template_that_loads_is_accepted(name: str) -> None:
    assert problems(LOADING[name]) == []


def test_every_field_may_hold_placeholders_where_the_loader_takes_them(load: Load) -> None:
    load(PLACEHOLDERS)
    assert problems(PLACEHOLDERS) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("description: Of {tenant_id}\n", ""),
        ("steps:", "stepz:"),
        ("date: {type: date,", "Date: {type: date,"),
        ("type: string, default", "type: text, default"),
        ("type: string, default", "defualt: a, type: string, default"),
        ("type: string, default", "type: string, min: 1, default"),
        ("{type: enum, values: [a, b], required: true}", "{type: enum, required: true}"),
        ("{type: string}", "{type: string, values: [a]}"),
        ("{type: string}", "{type: integer, pattern: a}"),
        ("{type: string}", "{type: string, max_length: 10001}"),
        ("  - id: first\n", "  -\n"),
        ("id: first", "id: First"),
        ("type: query", "type: shell"),
        ("timeout: 90s", "timeout: 90"),
        ("timeout: 90s", "timeout: soon"),
        ("timeout: 90s", "max_attempts: 11"),
        ("timeout: 90s", "max_attempts: many"),
        ("timeout: 90s", "max_bytes_billed: 10GB"),
        ("timeout: 90s", "depends_on: second"),
        ("timeout: 90s", "timeuot: 90s"),
        ("write: replace_partition", "write: append"),
        ("column: day, value", "column: a b, value"),
        ('table: "{domain}_daily"', "table: other.cost_daily"),
        ("write: replace_partition", "write: merge, keys: day"),
        ("type: not_null, column: day", "type: not_nil, column: day"),
        ("type: not_null, column: day", "type: not_null"),
        ("type: not_null, column: day", "type: not_null, column: day, severity: fatal"),
        ("tolerance: 0.01", "tolerance: -1"),
        ("columns: [day]", "columns: []"),
        ("columns: [day]", "columns: day"),
    ],
)
def test_what_a_person_gets_wrong_is_refused_where_the_loader_refuses_it(load: Load, old: str, new: str) -> None:
    assert GOOD.count(old) == 1
    text = GOOD.replace(old, new)
    assert problems(text) != []
    with pytest.raises(ValueError, match=r"example\.yml"):
        load(text)


def test_every_field_says_what_it_is_for() -> None:
    def silent(node: Any, path: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        found = [
            f"{path}.{name}"
            for name, field in node.get("properties", {}).items()
            if not {"description", "const", "$ref"} & field.keys()
        ]
        return found + [each for name, part in node.get("$defs", {}).items() for each in silent(part, name)]

    assert silent(template_schema(), "") == []


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_template_names_the_schema_for_editors(name: str) -> None:
    first, *_ = SHIPPED[name].read_text().splitlines()
    assert first == "# yaml-language-server: $schema=../../template.schema.json"
    assert (SHIPPED[name].parent / first.partition("$schema=")[2]).resolve() == CONFIGS / "template.schema.json"
