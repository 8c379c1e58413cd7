"""Resolving a template for a tenant: values are checked and bound, identifiers quoted, and what the SQL reads is held against what the
tenant may read."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import (
    InvalidInput,
    LocationNotAllowed,
    SourceNotGranted,
    TableNotAllowed,
    TemplateInvalid,
    Violation,
)
from common.ids import TENANT_ID
from common.templates.bindings import Bindings, built_in_texts, make_bindings, parameter_values, render_data
from common.templates.catalog import default_configs_dir, look_up, template_files
from common.templates.faults import Fault, validation_faults
from common.templates.load import load_template
from common.templates.order import tables_read
from common.templates.parameters import OutOfReach, ParameterValue
from common.templates.placeholders import BUILT_IN
from common.templates.resolved import ResolvedTemplate
from common.templates.steps import DoesNotCompile, compile_steps
from common.templates.tables import check_tables
from common.templates.template import Template, TemplateFile, TemplateName
from common.templates.yaml_source import DoesNotLoad
from common.warehouse.warehouse import TableRef


def resolve(
    template: Template,
    *,
    tenant_id: str,
    sources: Mapping[str, TableRef],
    date: str,
    parameters: Mapping[str, str],
    today: datetime.date,
    places: Mapping[str, str] | None = None,
) -> ResolvedTemplate:
    """Resolve a template for one run. `date` is the parameter `date`, "" where a run gives none; `sources` are the tenant's grants,
    `places` what files may be loaded from, by `location.NAME` and `shared.NAME`; `today` is the day in UTC on which the run is accepted.
    What `today` stands for is resolved here for good, like everything else.

    Raises InvalidInput with every violation (fields `date`, `parameters.NAME`), TableNotAllowed where a table is out of reach,
    LocationNotAllowed for a place that is not among `places`, and SourceNotGranted, naming the source, where the template reads one that
    the tenant lacks.
    """
    values = _values(template, tenant_id, sources, date, parameters, today=today)
    bindings = _bindings(template, tenant_id, sources, values, today=today, places=places or {})
    rendered, faults = render_data(template.data, bindings)
    if faults:
        raise _refusal(faults)
    try:
        file = TemplateFile.model_validate({**rendered, "parameters": template.parameters})
        steps = compile_steps(file, tenant_id=tenant_id, parameters=bindings.parameters)
    except ValidationError as error:
        raise _refusal(validation_faults(error)) from error
    except DoesNotCompile as error:
        raise _refusal(error.faults) from error
    check_tables((table for step in steps for table in tables_read(step)), tenant_id, sources)
    return ResolvedTemplate(
        pipeline_id=bindings.built_in["pipeline_id"],
        tenant_id=tenant_id,
        digest=template.digest,
        parameters=tuple(sorted((name, value.text) for name, value in values.items())),
        steps=steps,
        timeout_seconds=file.timeout,
        max_active_runs=file.max_active_runs,
        exclusive=file.exclusive,
        max_bytes=file.max_bytes,
    )


def resolve_template(
    template_path: str | Path, variables: Mapping[str, str], *, today: datetime.date | None = None
) -> dict[str, Any]:
    """Load a template file and replace the placeholders in every string of its nested mappings and lists.

    `template_path` ends in `{provider}/{domain}/{template_name}.yml`. `variables` holds `tenant_id`, the template's parameters, its sources
    (`source.billing_export`) and the places that it loads files from (`location.NAME`, `shared.NAME`); the other built-in names follow
    from the path. In SQL, values become `@name`. `today` is the present day in UTC unless it is given. Raises TemplateInvalid, and what
    `resolve` raises.
    """
    today = today or datetime.datetime.now(datetime.UTC).date()
    path = Path(template_path)
    try:
        template = load_template(path.read_bytes(), TemplateName(*path.with_suffix("").parts[-3:]))
    except DoesNotLoad as error:
        raise TemplateInvalid("The template does not load", metadata={"problem": str(error)}) from error
    tenant_id = variables.get("tenant_id", "")
    granted = {name: value for name, value in variables.items() if name.startswith("source.")}
    sources = {name.removeprefix("source."): TableRef.parse(value) for name, value in granted.items()}
    places = {name: value for name, value in variables.items() if name.startswith(("location.", "shared."))}
    given = {name: value for name, value in variables.items() if name not in (*BUILT_IN, *granted, *places, "date")}
    values = _values(template, tenant_id, sources, variables.get("date", ""), given, today=today)
    bindings = _bindings(template, tenant_id, sources, values, today=today, places=places)
    rendered, faults = render_data(template.data, bindings)
    if faults:
        raise _refusal(faults)
    return rendered


def get_template_path(provider: str, domain: str, template_name: str, *, configs_dir: Path | None = None) -> str:
    """The path of a template's file, looked up among those that are there. Raises TemplateNotFound."""
    return str(
        look_up(template_files(configs_dir or default_configs_dir()), TemplateName(provider, domain, template_name))
    )


def _values(
    template: Template,
    tenant_id: str,
    sources: Mapping[str, TableRef],
    date: str,
    parameters: Mapping[str, str],
    *,
    today: datetime.date,
) -> Mapping[str, ParameterValue]:
    """The values of the template's parameters. Raises InvalidInput, TableNotAllowed."""
    violations = []
    if not TENANT_ID.fullmatch(tenant_id):
        violations.append(Violation("tenant_id", "is malformed"))
    for name in sorted(parameters.keys() - template.parameters.keys() | parameters.keys() & {"date"}):
        known = ", ".join(sorted(template.parameters.keys() - {"date"})) or "none"
        description = "belongs into the field date" if name == "date" else f"is unknown; the template takes {known}"
        violations.append(Violation(f"parameters.{name[:100]}", description))
    if date and "date" not in template.parameters:
        violations.append(Violation("date", "the template takes no date"))
    given = {name: value for name, value in parameters.items() if name != "date"} | ({"date": date} if date else {})
    built_in = built_in_texts(template.name, tenant_id)
    values, malformed = parameter_values(
        template.parameters, given, built_in=built_in, today=today, tenant_id=tenant_id, sources=sources
    )
    for name, reason in malformed.items():
        violations.append(Violation("date" if name == "date" else f"parameters.{name}", str(reason)))
    if any(isinstance(reason, OutOfReach) for reason in malformed.values()):
        raise TableNotAllowed(violations)
    if violations:
        raise InvalidInput(violations)
    return values


def _bindings(
    template: Template,
    tenant_id: str,
    sources: Mapping[str, TableRef],
    values: Mapping[str, ParameterValue],
    *,
    today: datetime.date,
    places: Mapping[str, str],
) -> Bindings:
    """What the placeholders stand for. Raises LocationNotAllowed, SourceNotGranted, TableNotAllowed."""
    if unnamed := sorted(template.places - places.keys()):
        raise LocationNotAllowed.of_template(unnamed)
    if missing := sorted(template.sources - sources.keys()):
        raise SourceNotGranted(
            f"The template reads what the tenant has not been granted: {', '.join(missing)}",
            metadata={"source": ", ".join(missing)},
        )
    read = {name: sources[name] for name in template.sources}
    check_tables(read.values(), tenant_id, sources)
    return make_bindings(template.name, tenant_id, read, template.parameters, values, today=today, places=places)


def _refusal(faults: Sequence[Fault]) -> InvalidInput:
    """What to answer where parameters, the template itself being good, lead to something that is not."""
    violations = [Violation("parameters", f"{'.'.join(map(str, fault.path))}: {fault.reason}") for fault in faults]
    return (TableNotAllowed if any(fault.out_of_reach for fault in faults) else InvalidInput)(violations)
