"""Loading a template: whatever can be known to be wrong with it is reported here, as `file:line: reason`, and not to a run.

The file is resolved for a tenant and values that stand for any (`parameters.SAMPLES`). Values are bound and never pasted into SQL, so a
text that is right for the samples is right for all, but for the tables that a parameter of type table or identifier may name.
"""

import hashlib
from collections.abc import Collection, Mapping
from datetime import date

from pydantic import TypeAdapter, ValidationError

from common.ids import PATH_NAME
from common.templates.bindings import Bindings, built_in_texts, make_bindings, parameter_values, render_data
from common.templates.check_faults import check_faults
from common.templates.faults import Fault, does_not_load, validation_faults
from common.templates.file_uri import places_in
from common.templates.parameter_spec import ParameterSpec, is_relative
from common.templates.parameters import SAMPLES, ParameterValue
from common.templates.placeholders import BUILT_IN, names_in
from common.templates.steps import DoesNotCompile, compile_steps
from common.templates.template import PublishingStep, Template, TemplateFile, TemplateName
from common.templates.yaml_source import DoesNotLoad, Path, Problem, YamlSource, read_yaml
from common.warehouse.warehouse import TableRef

_SAMPLE_TENANT = "sample_tenant"
_SAMPLE_DAY = date.fromisoformat(SAMPLES["date"])
_CONSTANT = frozenset({"provider", "domain", "template_name"})
_SPECS = TypeAdapter(dict[str, ParameterSpec])


def load_template(content: bytes, key: TemplateName) -> Template:
    """Read a template's file. Raises DoesNotLoad."""
    file = f"{key}.yml"
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise DoesNotLoad([Problem(file, content.count(b"\n", 0, error.start) + 1, "is not UTF-8")]) from None
    source = read_yaml(text, file=file)
    specs = _specs(source)
    sources = _sources(source)
    samples = _samples(source, key, specs)
    bindings = make_bindings(
        key, _SAMPLE_TENANT, sources, specs, samples, today=_SAMPLE_DAY, places=_sample_places(source)
    )
    model = _model(source, specs, bindings)
    try:
        compile_steps(model, tenant_id=_SAMPLE_TENANT, parameters=bindings.parameters)
    except DoesNotCompile as error:
        raise does_not_load(source, error.faults) from None
    if faults := tuple(check_faults(model, source.data, tuple(bindings.parameters.values()))):
        raise does_not_load(source, faults)
    return Template(
        name=key,
        digest=hashlib.sha256(content).hexdigest(),
        text=text,
        data=source.data,
        description=source.data["description"],
        parameters=specs,
        destinations=_destinations(source, model),
        sources=frozenset(sources),
        places=frozenset(_places(source)),
        exclusive=model.exclusive,
    )


def _specs(source: YamlSource) -> Mapping[str, ParameterSpec]:
    """The parameters as the file declares them."""
    try:
        specs = _SPECS.validate_python(source.data.get("parameters", {}))
    except ValidationError as error:
        raise does_not_load(source, validation_faults(error, ("parameters",))) from None
    faults = [Fault(("parameters", name), f"the name {name} is taken") for name in specs if name in BUILT_IN]
    if "date" in specs and specs["date"].type != "date":
        faults.append(Fault(("parameters", "date", "type"), "the parameter date has the type date"))
    if faults:
        raise does_not_load(source, faults)
    return specs


def _samples(source: YamlSource, key: TemplateName, specs: Mapping[str, ParameterSpec]) -> Mapping[str, ParameterValue]:
    """A value for every parameter that every run has one for: its default or else a sample."""
    given = {name: _sample(spec) for name, spec in specs.items() if spec.required}
    values, malformed = parameter_values(
        {name: _decidable(spec) for name, spec in specs.items()},
        given,
        built_in=built_in_texts(key, _SAMPLE_TENANT),
        today=_SAMPLE_DAY,
        tenant_id=_SAMPLE_TENANT,
        sources={},
    )
    if malformed:
        raise does_not_load(
            source, [Fault(("parameters", name, "default"), str(reason)) for name, reason in malformed.items()]
        )
    return values


def _sample(spec: ParameterSpec) -> str:
    if spec.values:
        return spec.values[0]
    return next((bound for bound in (spec.min, spec.max) if bound and not is_relative(bound)), SAMPLES[spec.type])


def _decidable(spec: ParameterSpec) -> ParameterSpec:
    """The parameter without the constraints that its default cannot be held against here: what depends on the day of a run against what
    does not. A sample is held against none."""
    if spec.required:
        return spec.model_copy(update={"min": None, "max": None, "pattern": None, "max_length": None})
    relative = is_relative(spec.default)
    return spec.model_copy(
        update={name: None for name in ("min", "max") if is_relative(getattr(spec, name)) != relative}
    )


def _sources(source: YamlSource) -> Mapping[str, TableRef]:
    """A table for each source that the file names."""
    names = {name.removeprefix("source.") for name in names_in(source.data) if name.startswith("source.")}
    return {name: TableRef("sample_sources", name) for name in names if PATH_NAME.fullmatch(name)}


def _places(source: YamlSource) -> Collection[str]:
    """The places that the file names."""
    steps = source.data.get("steps")
    uris = [step.get("uri") for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return {place for uri in uris if isinstance(uri, str) for place in places_in(uri)}


def _sample_places(source: YamlSource) -> Mapping[str, str]:
    return {place: f"gs://sample-bucket/{place}" for place in _places(source)}


def _model(source: YamlSource, specs: Mapping[str, ParameterSpec], bindings: Bindings) -> TemplateFile:
    rendered, faults = render_data(source.data, bindings)
    if faults:
        raise does_not_load(source, faults)
    try:
        return TemplateFile.model_validate({**rendered, "parameters": specs})
    except ValidationError as error:
        raise does_not_load(source, validation_faults(error)) from None


def _destinations(source: YamlSource, model: TemplateFile) -> Mapping[str, str | None]:
    """The tables that the template publishes, which must not vary: ReadTable knows them by name."""
    destinations: dict[str, str | None] = {}
    faults: list[Fault] = []
    for position, step in enumerate(model.steps):
        if not isinstance(step, PublishingStep):
            continue
        partition = step.destination.partition
        destinations[step.destination.table] = partition.column if partition else None
        written = source.data["steps"][position]["destination"]
        for key, texts in (("table", written["table"]), ("partition", (written.get("partition") or {}).get("column"))):
            for name in set(names_in(texts)) - _CONSTANT:
                path: Path = ("steps", position, "destination", key)
                faults.append(Fault(path, f"{{{name}}} varies: a step publishes one table for every tenant and run"))
    if faults:
        raise does_not_load(source, faults)
    return destinations
