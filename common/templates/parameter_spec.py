"""Parameters as a template declares them: their type, what values are allowed beyond it, and what they are where a run gives none."""

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator

from common.templates.parameters import Malformed, ParameterType, ParameterValue, parse, parse_scalar
from common.templates.patterns import MAX_PATTERN_CHARACTERS, matches_whole, pattern_problem
from common.templates.placeholders import RELATIVE_DAYS, TextRefused, names_in, render
from common.templates.strict import Strict
from common.warehouse.warehouse import TableRef

MAX_CHARACTERS = 10_000
"""Of a value of any type."""
CONSTRAINTS: Mapping[str, tuple[ParameterType, ...]] = {
    "values": ("enum",),
    "min": ("date", "datetime", "integer", "number"),
    "max": ("date", "datetime", "integer", "number"),
    "pattern": ("string",),
    "max_length": ("string",),
}
"""Which types each constraint is for."""
_RELATIVE_TYPES = ("date", "datetime")
_DIGITS_OF_FLOAT = 15
_SOME_DAY = date(2025, 11, 15)


def relative_days(today: date) -> Mapping[str, str]:
    """What `{today}` and `{yesterday}` stand for, in the default, min and max of a date or datetime. `today` is the day in UTC on which
    a run is accepted."""
    days = (today, today - timedelta(days=1))
    return {name: day.isoformat() for name, day in zip(RELATIVE_DAYS, days, strict=True)}


def is_relative(text: str | None) -> bool:
    """Whether a default or a bound depends on the day on which a run is accepted."""
    return not set(RELATIVE_DAYS).isdisjoint(names_in(text))


def _text(value: object) -> object:
    """A scalar as text, whatever YAML made of it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float):
        number = Decimal(repr(value))
        if len(number.as_tuple().digits) > _DIGITS_OF_FLOAT:
            raise ValueError(f"a number of more than {_DIGITS_OF_FLOAT} digits needs quotes to keep them")
        return f"{number:f}"
    return str(value) if isinstance(value, int) else value


def _default_text(value: object, info: ValidationInfo) -> object:
    """A default as text. That of a json may be written as YAML."""
    if info.data.get("type") == "json" and isinstance(value, dict | list):
        return json.dumps(value, default=_text)
    return _text(value)


def _below(left: ParameterValue, right: ParameterValue) -> bool:
    return left.bound < right.bound  # type: ignore[operator]  # of one type, which has an order


def _for_editors(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema which types take which constraint."""
    schema["allOf"] = [
        {
            "if": {"properties": {"type": {"enum": list(types)}}, "required": ["type"]},
            "else": {"properties": {name: False}},
        }
        for name, types in CONSTRAINTS.items()
    ]
    enum = {"properties": {"type": {"const": "enum"}}, "required": ["type"]}
    schema["allOf"].append({"if": enum, "then": {"required": ["values"]}})


_Bound = Annotated[str | None, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number", "null"]})]
_Default = Annotated[
    str | None,
    BeforeValidator(_default_text),
    WithJsonSchema({"type": ["string", "number", "boolean", "object", "array", "null"]}),
]


class ParameterSpec(Strict):
    """A parameter that a run gives."""

    model_config = ConfigDict(json_schema_extra=_for_editors)

    type: ParameterType
    """What values it takes. In SQL it is bound as DATE, DATETIME, INT64, NUMERIC, STRING, BOOL or JSON; table and identifier also go into
    the text, as quoted names."""
    required: bool = False
    """Whether every run must give it. One that is neither required nor has a default is NULL where a run leaves it out."""
    default: _Default = None
    """Its value where a run gives none, within its own constraints. May hold `{tenant_id}`, `{provider}`, `{domain}`, `{template_name}` and
    `{pipeline_id}`; that of a date or datetime also `{today}` and `{yesterday}`, days in UTC when the run is accepted. That of a json is
    taken as it stands, text or not."""
    values: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field((), max_length=100)
    """enum only, which needs it: the values that it takes, as they stand."""
    min: _Bound = None
    """date, datetime, integer and number only: the least value. That of a date or datetime may hold `{today}` and `{yesterday}`."""
    max: _Bound = None
    """date, datetime, integer and number only: the greatest value. That of a date or datetime may hold `{today}` and `{yesterday}`."""
    pattern: str | None = Field(None, max_length=MAX_PATTERN_CHARACTERS)
    """string only: a regular expression that all of the value matches, without lookaround and backreferences. Its braces are its own."""
    max_length: int | None = Field(None, ge=1, le=MAX_CHARACTERS)
    """string only: how many characters it may have, 10000 where nothing is said."""
    description: str = ""
    """What it means, for those who call."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.required and self.default is not None:
            raise ValueError("a required parameter has no use for a default")
        for name, types in CONSTRAINTS.items():
            if getattr(self, name) not in (None, ()) and self.type not in types:
                raise ValueError(f"{name} is for the type{'s' * (len(types) > 1)} {', '.join(types)}")
        if self.type == "enum" and not self.values:
            raise ValueError("the type enum needs values")
        if len(set(self.values)) != len(self.values):
            raise ValueError("a value stands twice among values")
        if self.pattern is not None and (problem := pattern_problem(self.pattern)) is not None:
            raise ValueError(f"pattern: {problem}")
        least, most = self._bound("min", _SOME_DAY), self._bound("max", _SOME_DAY)
        if least and most and is_relative(self.min) == is_relative(self.max) and _below(most, least):
            raise ValueError("min is greater than max")
        return self

    @property
    def longest(self) -> int | None:
        """How many characters a string may have; None for the other types."""
        return (self.max_length or MAX_CHARACTERS) if self.type == "string" else None

    def read(self, text: str, *, today: date, tenant_id: str, sources: Mapping[str, TableRef]) -> ParameterValue:
        """Read a value that a run gives. Raises Malformed, saying what is asked for, and OutOfReach for a table."""
        value = parse(self.type, text, tenant_id=tenant_id, sources=sources)
        if self.values and text not in self.values:
            raise Malformed(f"must be one of {', '.join(self.values)}")
        if self.longest is not None and len(text) > self.longest:
            raise Malformed(f"must be at most {self.longest} characters")
        if self.pattern is not None and not matches_whole(self.pattern, text):
            raise Malformed(f"must match {self.pattern}")
        least, most = self._bound("min", today), self._bound("max", today)
        if least and _below(value, least):
            raise Malformed(f"must be at least {least.text}")
        if most and _below(most, value):
            raise Malformed(f"must be at most {most.text}")
        return value

    def read_default(
        self, built_in: Mapping[str, str], *, today: date, tenant_id: str, sources: Mapping[str, TableRef]
    ) -> ParameterValue | None:
        """The value where a run gives none, if there is one; `built_in` are the placeholders that it may hold. Raises as `read` does."""
        if self.default is None:
            return None
        try:
            known = {**built_in, **relative_days(today)} if self.type in _RELATIVE_TYPES else built_in
            text = self.default if self.type == "json" else render(self.default, known)
        except TextRefused as refused:
            raise Malformed(refused.reason) from None
        return self.read(text, today=today, tenant_id=tenant_id, sources=sources)

    def _bound(self, name: Literal["min", "max"], today: date) -> ParameterValue | None:
        text: str | None = getattr(self, name)
        if text is None:
            return None
        try:
            relative = self.type in _RELATIVE_TYPES
            return parse_scalar(self.type, render(text, relative_days(today)) if relative else text)
        except TextRefused as refused:
            raise Malformed(f"{name}: {refused.reason}") from None
        except Malformed as malformed:
            raise Malformed(f"{name}: {malformed}") from None
