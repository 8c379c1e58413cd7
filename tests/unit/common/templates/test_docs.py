"""docs/templates.md: its examples load, and it leaves out no type and no key of the language."""

import re
from pathlib import Path
from typing import get_args

import pytest

from common.templates.load_specs import CsvSpec, LoadColumn
from common.templates.parameter_spec import CONSTRAINTS, ParameterSpec
from common.templates.parameters import ParameterType
from common.templates.resolved import Write
from common.templates.schema import template_schema
from common.templates.template import DestinationSpec, DqStep, LoadStep, QueryStep
from tests.unit.common.templates.conftest import Load
from tests.unit.common.templates.test_schema import problems

TEXT = (Path(__file__).parents[4] / "docs" / "templates.md").read_text()
EXAMPLES = [block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "steps:" in block]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_loads_and_is_valid_by_the_schema(load: Load, example: str) -> None:
    load(example)
    assert problems(example) == []


def test_there_are_examples() -> None:
    assert EXAMPLES


def rows() -> dict[str, str]:
    """What the tables say, by the names in the first cell of each row."""
    found = {}
    for first, rest in re.findall(r"^\| ([^|]+) \|(.*)$", TEXT, re.MULTILINE):
        found.update(dict.fromkeys(re.findall(r"`(\w+)`", first), rest))
    return found


def test_every_type_and_its_constraints_are_in_the_table() -> None:
    for kind in get_args(ParameterType):
        constraints = {name for name, kinds in CONSTRAINTS.items() if kind in kinds}
        assert set(re.findall(r"`(\w+)`", rows()[kind].rpartition(" | ")[2])) == constraints, kind


def test_every_key_of_parameters_steps_writes_and_checks_is_in_a_table() -> None:
    keys = {
        *ParameterSpec.model_fields,
        *QueryStep.model_fields,
        *LoadStep.model_fields,
        *DqStep.model_fields,
        *get_args(Write),
    }
    assert keys - rows().keys() == set()
    parts = (DestinationSpec, LoadColumn, CsvSpec)
    named = [name for part in parts for name in part.model_fields]
    assert [name for name in named if f"{name}`" not in TEXT and f"{name}:" not in TEXT] == []
    checks = [
        part["properties"]["type"]["const"]
        for part in template_schema()["$defs"].values()
        if "severity" in part.get("properties", {})
    ]
    assert len(checks) > 3
    assert [name for name in checks if name not in rows()] == []
