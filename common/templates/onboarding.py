"""The onboarding template, `configs/customer/onboarding-template.yml`: what a new tenant is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from common.api_keys.scopes import Scope
from common.ids import PATH_NAME, TEMPLATE_NAME
from common.templates.faults import Fault, does_not_load, validation_faults
from common.templates.placeholders import TextRefused, render
from common.templates.strict import Strict
from common.templates.tables import METADATA_TABLES
from common.templates.template import TemplateName
from common.templates.yaml_source import YamlSource, read_yaml
from common.warehouse.schemas import load_table_spec
from common.warehouse.warehouse import TableRef, TableSpec

FILE = "customer/onboarding-template.yml"
SCHEMAS = Path("metadata/schemas")

_PathName = Annotated[str, Field(pattern=rf"^{PATH_NAME.pattern}$")]
_LabelText = Annotated[str, Field(pattern=r"^[a-z0-9_-]{0,63}$")]


class _Dataset(Strict):
    location: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    labels: dict[_LabelText, _LabelText] = Field({})


class _Key(Strict):
    scopes: tuple[Scope, ...] = Field(min_length=1)


class _DryRun(Strict):
    provider: _PathName
    domain: _PathName
    template_name: str = Field(pattern=rf"^{TEMPLATE_NAME.pattern}$")


class _OnboardingFile(Strict):
    description: str
    dataset: _Dataset
    tables: tuple[_PathName, ...]
    schema_version: int = Field(ge=1)
    key: _Key
    sources: dict[_PathName, str] = Field({})
    dryrun: _DryRun


@dataclass(frozen=True, slots=True)
class OnboardingTemplate:
    """What a new tenant is given: where its dataset lies and how it is labelled, its metadata tables by name in the order of their
    creation and the version that they are together, the scopes of its first key, the template that proves it."""

    description: str
    location: str
    labels: Mapping[str, str]
    tables: Mapping[str, TableSpec]
    schema_version: int
    scopes: tuple[str, ...]
    dry_run: TemplateName
    _sources: Mapping[str, str]

    def sources_of(self, tenant_id: str) -> Mapping[str, str]:
        """The tables that the tenant may read where the request names none: name -> `[project.]dataset.table`."""
        return {name: render(table, {"tenant_id": tenant_id}) for name, table in self._sources.items()}


def load_onboarding_template(configs_dir: Path) -> OnboardingTemplate:
    """Read the onboarding template and the schemas that it names. Raises DoesNotLoad with every problem, and OSError."""
    source = read_yaml((configs_dir / FILE).read_text(encoding="utf-8"), file=FILE)
    try:
        file = _OnboardingFile.model_validate(source.data)
    except ValidationError as error:
        raise does_not_load(source, validation_faults(error)) from None
    template = OnboardingTemplate(
        description=file.description,
        location=file.dataset.location,
        labels=file.dataset.labels,
        tables=_tables(source, configs_dir, file.tables),
        schema_version=file.schema_version,
        scopes=file.key.scopes,
        dry_run=TemplateName(file.dryrun.provider, file.dryrun.domain, file.dryrun.template_name),
        _sources=file.sources,
    )
    _check_sources(source, template)
    return template


def _tables(source: YamlSource, configs_dir: Path, names: tuple[str, ...]) -> Mapping[str, TableSpec]:
    if missing := sorted(METADATA_TABLES.difference(names)):
        raise does_not_load(source, [Fault(("tables",), f"{', '.join(missing)} is missing")])
    tables: dict[str, TableSpec] = {}
    faults = []
    for position, name in enumerate(names):
        try:
            tables[name] = load_table_spec(configs_dir / SCHEMAS / f"{name}.json")
        except ValidationError as error:
            reasons = "; ".join(fault.reason for fault in validation_faults(error))
            faults.append(Fault(("tables", position), f"the schema of {name} does not load: {reasons}"))
        except OSError as error:
            faults.append(Fault(("tables", position), f"the schema of {name} does not load: {error.strerror}"))
    if faults:
        raise does_not_load(source, faults)
    return tables


def _check_sources(source: YamlSource, template: OnboardingTemplate) -> None:
    try:
        for table in template.sources_of("sample_tenant").values():
            TableRef.parse(table)
    except (TextRefused, ValueError) as error:
        raise does_not_load(source, [Fault(("sources",), str(error))]) from None
