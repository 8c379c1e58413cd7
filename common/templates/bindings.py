"""What the placeholders of a template stand for in one run, and putting that into the template's nested data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from common.templates.faults import Fault
from common.templates.file_uri import UriNames, render_uri, uri_names
from common.templates.parameter_spec import ParameterSpec, relative_days
from common.templates.parameters import COLUMN_TYPES, Malformed, ParameterValue
from common.templates.placeholders import TextRefused, render
from common.templates.sql_text import SqlNames, bind
from common.templates.template import TemplateName
from common.templates.yaml_source import Path
from common.warehouse.warehouse import Parameter, TableRef, Value

_SQL_KEYS = frozenset({"sql", "measure", "with", "when"})
_COMPARED = frozenset({"min", "max", "values"})
"""What a check compares rows with: a placeholder that is all of it keeps its type, since it is bound and never becomes text."""


@dataclass(frozen=True, slots=True)
class Bindings:
    """What placeholders stand for: `texts` outside SQL, `names` inside it, `uri` where files are named, and the query parameters that
    `@name` binds. `declarations` are known where parameters are declared, which comes before any parameter's value."""

    built_in: Mapping[str, str]
    declarations: Mapping[str, str]
    texts: Mapping[str, str]
    names: SqlNames
    parameters: Mapping[str, Parameter]
    uri: UriNames


def make_bindings(
    key: TemplateName,
    tenant_id: str,
    sources: Mapping[str, TableRef],
    specs: Mapping[str, ParameterSpec],
    values: Mapping[str, ParameterValue],
    *,
    today: date,
    places: Mapping[str, str],
) -> Bindings:
    """Bind a template for a tenant; `places` are those that files may be loaded from. Everything has been checked; a parameter that is not
    in `values` is bound as NULL."""
    built_in = built_in_texts(key, tenant_id)
    tables = {f"source.{name}": str(table) for name, table in sources.items()}
    texts = {**built_in, **tables, **{name: value.text for name, value in values.items()}}
    identifiers = {name: built_in[name] for name in ("tenant_id", "provider", "domain")} | tables
    identifiers |= {name: value.text for name, value in values.items() if specs[name].type in ("table", "identifier")}
    parameters = {name: Parameter(name, "STRING", text) for name, text in built_in.items()}
    for name, spec in specs.items():
        bound = values[name].bound if name in values else None
        parameters[name] = Parameter(name, COLUMN_TYPES[spec.type], bound)
    names = SqlNames(identifiers, frozenset(parameters), frozenset(specs.keys() - values.keys()))
    uri = uri_names(places, built_in, specs, values, names.without_value)
    return Bindings(built_in, {**built_in, **relative_days(today)}, texts, names, parameters, uri)


def parameter_values(
    specs: Mapping[str, ParameterSpec],
    given: Mapping[str, str],
    *,
    built_in: Mapping[str, str],
    today: date,
    tenant_id: str,
    sources: Mapping[str, TableRef],
) -> tuple[dict[str, ParameterValue], dict[str, Malformed]]:
    """Read the declared parameters from what was given and their defaults; beside the values, what is wrong with which parameter."""
    values: dict[str, ParameterValue] = {}
    malformed: dict[str, Malformed] = {}
    for name, spec in specs.items():
        try:
            if name in given:
                values[name] = spec.read(given[name], today=today, tenant_id=tenant_id, sources=sources)
            elif spec.required:
                raise Malformed("is required")
            else:
                default = spec.read_default(built_in, today=today, tenant_id=tenant_id, sources=sources)
                values |= {name: default} if default is not None else {}
        except Malformed as reason:
            malformed[name] = reason
    return values, malformed


def built_in_texts(key: TemplateName, tenant_id: str) -> dict[str, str]:
    """The placeholders that every template may use, see `placeholders.BUILT_IN`."""
    return {
        "tenant_id": tenant_id,
        "provider": key.provider,
        "domain": key.domain,
        "template_name": key.template_name,
        "pipeline_id": "-".join((tenant_id, *key)),
    }


def render_data(data: Mapping[str, Any], bindings: Bindings) -> tuple[dict[str, Any], list[Fault]]:
    """Replace the placeholders of every string in nested mappings and lists. What is faulty stays as it was.

    A pattern, an enum's values and the default of a json have braces of their own, and no placeholders.
    """
    faults: list[Fault] = []

    def rendered(value: Any, path: Path) -> Any:
        if isinstance(value, Mapping):
            return {key: rendered(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [rendered(item, (*path, position)) for position, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            if path[0] == "parameters":
                return value if _verbatim(data, path) else render(value, bindings.declarations)
            if path[-1] == "uri":
                return render_uri(value, bindings.uri)
            if path[-1] in _SQL_KEYS:
                return bind(value, bindings.names)
            if "checks" in path and _COMPARED & set(path[-2:]) and (bound := _bound(value, bindings)) is not None:
                return bound
            return render(value, bindings.texts, without_value=bindings.names.without_value)
        except TextRefused as refused:
            faults.append(Fault(path, refused.reason, refused.line))
            return value

    return {key: rendered(item, (key,)) for key, item in data.items()}, faults


def _verbatim(data: Mapping[str, Any], path: Path) -> bool:
    """Whether no placeholder is replaced in a text of a parameter's declaration."""
    if path[2] == "default":
        return bool(data["parameters"][path[1]]["type"] == "json")
    return path[2] in ("pattern", "values")


def _bound(text: str, bindings: Bindings) -> Value | Sequence[Value]:
    """The value of the parameter whose placeholder is the whole text; None for any other text."""
    parameter = bindings.parameters.get(text[1:-1]) if text.startswith("{") and text.endswith("}") else None
    return parameter.value if parameter else None
