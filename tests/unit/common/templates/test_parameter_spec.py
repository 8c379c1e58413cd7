"""Parameters as templates declare them: constraints on what a run gives, and values where it gives none."""

from datetime import date
from typing import Any

import pytest

from common.errors import InvalidInput
from common.templates.template import Template
from common.templates.yaml_source import DoesNotLoad
from tests.unit.common.templates.conftest import Load
from tests.unit.common.templates.every_type import TODAY, run, run_on


def declaring(spec: str) -> str:
    """A template with the parameter `p`, declared on line 3."""
    return (
        f"description: x\nparameters:\n  p: {spec}\nsteps:\n"
        "  - {id: a, type: query, sql: SELECT @p AS x, destination: {table: t, write: replace_table}}\n"
    )


def refusal(template: Template, text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        run(template, "", p=text)
    (violation,) = caught.value.violations
    assert violation.field == "parameters.p"
    return violation.description


@pytest.mark.parametrize(
    ("spec", "good", "bad", "reason"),
    [
        ("{type: integer, min: -5, max: 0x10}", ("-5", "016", "0"), ("-6", "17"), "must be at "),
        ("{type: integer, min: 1}", ("9223372036854775807",), ("0",), "must be at least 1"),
        ("{type: number, min: 0.1, max: 1}", ("0.1", "1.000"), ("0.09", "1.000000001"), "must be at "),
        ("{type: date, min: 2025-01-01, max: 2025-12-31}", ("2025-01-01", "2025-12-31"), ("2024-12-31", "2026-01-01"), "must be at "),
        ("{type: date, max: '{yesterday}'}", ("2025-11-19",), ("2025-11-20",), "must be at most 2025-11-19"),
        ("{type: datetime, min: 2025-01-01 06:00:00}", ("2025-01-01T06:00",), ("2025-01-01",), "must be at least 2025-01-01T06:00:00"),
        ("{type: datetime, max: '{today}T12:00'}", ("2025-11-20T12:00",), ("2025-11-20T12:00:00.000001",), "must be at most 2025-11-20T12"),
        ("{type: string, pattern: '[a-z]{2}(-[0-9])?'}", ("eu", "eu-1"), ("", "e", "EU", "eu-12", "eu\n"), "must match [a-z]{2}(-[0-9])?"),
        ("{type: string, max_length: 3}", ("", "日本語"), ("abcd",), "must be at most 3 characters"),
        ("{type: string}", ("x" * 10_000,), ("x" * 10_001,), "must be at most 10000 characters"),
        ("{type: enum, values: ['{x}', 'true']}", ("{x}", "true"), ("x", "", "True"), "must be one of {x}, true"),
    ],
)  # fmt: skip
def test_a_value_is_held_against_the_constraints(
    load: Load, spec: str, good: tuple[str, ...], bad: tuple[str, ...], reason: str
) -> None:
    template = load(declaring(spec))
    for text in good:
        run(template, "", p=text)
    for text in bad:
        assert reason in refusal(template, text), text


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("{type: integer, min: 2, max: 1}", "min is greater than max"),
        ("{type: date, min: '{today}', max: '{yesterday}'}", "min is greater than max"),
        ("{type: integer, min: a}", "min: must be an integer of 64 bits"),
        ("{type: integer, min: '{today}'}", "min: must be an integer of 64 bits"),
        ("{type: date, max: '{tomorrow}'}", "max: unknown placeholder {tomorrow}"),
        ("{type: date, max: '{tenant_id}'}", "max: unknown placeholder {tenant_id}"),
        ("{type: string, min: 1}", "min is for the types date, datetime, integer, number"),
        ("{type: integer, pattern: a}", "pattern is for the type string"),
        ("{type: json, max_length: 5}", "max_length is for the type string"),
        ("{type: string, values: [a]}", "values is for the type enum"),
        ("{type: enum}", "the type enum needs values"),
        ("{type: enum, values: [a, a]}", "a value stands twice among values"),
        ("{type: enum, values: [1]}", "values: Input should be a valid string"),
        ("{type: string, pattern: '('}", "pattern: is no regular expression: unclosed group"),
        ("{type: string, max_length: 0}", "max_length: Input should be greater than or equal to 1"),
        ("{type: string, max_length: 10001}", "max_length: Input should be less than or equal to 10000"),
        ("{type: integer, min: 2, default: 1}", "must be at least 2"),
        ("{type: date, max: 2025-01-01, default: 2025-01-02}", "must be at most 2025-01-01"),
        ("{type: date, max: '{yesterday}', default: '{today}'}", "must be at most"),
        ("{type: string, pattern: a, default: b}", "must match a"),
        ("{type: string, max_length: 3, default: '{tenant_id}'}", "must be at most 3 characters"),
        ("{type: enum, values: [a], default: b}", "must be one of a"),
        ("{type: json, default: nope}", "must be JSON"),
        ("{type: number, default: 12345678901234567890.123}", "default: a number of more than 15 digits needs quotes"),
        ("{type: number, min: .nan}", "min: must be a decimal number"),
        ("{type: string, default: [a]}", "default: Input should be a valid string"),
        ("{type: datetime, default: 2025-11-15T06:00:00Z}", "without a zone"),
        ("{type: string, default: '{today}'}", "{today} stands only in the default, min or max of a date or datetime"),
        ("{type: date, default: '{tomorrow}'}", "unknown placeholder {tomorrow}"),
        ("{type: date, required: true, default: '{today}'}", "a required parameter has no use for a default"),
        ("{type: date, description: 'of {today"  "}'}", ""),
    ],
)  # fmt: skip
def test_a_declaration_that_makes_no_sense_does_not_load(load: Load, spec: str, reason: str) -> None:
    if not reason:
        load(declaring(spec))
        return
    with pytest.raises(DoesNotLoad) as caught:
        load(declaring(spec))
    (problem,) = caught.value.problems
    assert problem.line == 3
    assert reason in problem.reason


@pytest.mark.parametrize(
    "spec",
    [
        "{type: date, min: 2999-01-01, default: '{today}'}",
        "{type: date, max: '{yesterday}', default: 2999-01-01}",
        "{type: date, min: '{yesterday}', max: 2000-01-01}",
    ],
)
def test_what_depends_on_the_day_of_a_run_is_left_to_the_run(load: Load, spec: str) -> None:
    template = load(declaring(spec))
    if "default" in spec:
        with pytest.raises(InvalidInput):
            run(template, "")


def resolved(template: Template, today: date, **parameters: str) -> dict[str, str]:
    return dict(run_on(today, template, "", **parameters).parameters)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("{type: date, default: '{yesterday}'}", "2024-02-29"),
        ("{type: date, default: '{today}'}", "2024-03-01"),
        ("{type: datetime, default: '{today}'}", "2024-03-01T00:00:00"),
        ("{type: datetime, default: '{yesterday}T06:30'}", "2024-02-29T06:30:00"),
        ("{type: string, default: 'of {pipeline_id}'}", "of acme-gcp-cost-example"),
        ("{type: json, default: {b: [1, true, 2025-01-01], a: '{today}'}}", '{"a":"{today}","b":[1,true,"2025-01-01"]}'),
        ("{type: json, default: '{\"a\": {}}'}", '{"a":{}}'),
        ("{type: boolean, default: yes}", "true"),
        ("{type: number, default: 0.10}", "0.1"),
        ("{type: number, default: 0.000000001}", "0.000000001"),
        ("{type: number, default: '12345678901234567890.123'}", "12345678901234567890.123"),
        ("{type: string, default: ''}", ""),
    ],
)  # fmt: skip
def test_a_default_is_resolved_into_the_recorded_parameters(load: Load, spec: str, text: str) -> None:
    assert resolved(load(declaring(spec)), date(2024, 3, 1)) == {"p": text}


def test_a_run_that_is_resolved_again_with_its_recorded_parameters_keeps_its_day(load: Load) -> None:
    template = load(declaring("{type: date, default: '{yesterday}', max: '{yesterday}'}"))
    first = resolved(template, TODAY)
    assert first == {"p": "2025-11-19"}
    assert resolved(template, date(2025, 12, 24), **first) == first


def test_braces_of_patterns_values_and_json_are_their_own(load: Load) -> None:
    from common.templates.bindings import built_in_texts, make_bindings, render_data

    template = load(
        declaring("{type: string, pattern: 'x{2}', description: 'of {tenant_id}'}\n  k: {type: enum, values: ['{k}']}")
    )
    bindings = make_bindings(template.name, "acme", {}, template.parameters, {}, today=TODAY, places={})
    rendered, faults = render_data(template.data, bindings)
    assert (rendered["parameters"], faults) == (
        {
            "p": {"type": "string", "pattern": "x{2}", "description": "of acme"},
            "k": {"type": "enum", "values": ["{k}"]},
        },
        [],
    )
    assert bindings.built_in == built_in_texts(template.name, "acme")


def test_every_wrong_parameter_is_reported_at_once(load: Load) -> None:
    names: dict[str, Any] = {
        "a": "{type: integer, max: 3}", "b": "{type: string, pattern: b}", "c": "{type: json}", "d": "{type: datetime, required: true}"
    }  # fmt: skip
    lines = "".join(f"  {name}: {spec}\n" for name, spec in names.items())
    template = load(declaring("{type: integer}\n" + lines.rstrip()))
    with pytest.raises(InvalidInput) as caught:
        run(template, "2025-01-01", a="4", b="c", c="{", e="1")
    assert [violation.field for violation in caught.value.violations] == [
        "parameters.e", "date", "parameters.a", "parameters.b", "parameters.c", "parameters.d"
    ]  # fmt: skip
