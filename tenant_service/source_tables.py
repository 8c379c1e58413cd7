"""Which tables may be granted to a tenant as sources."""

from collections.abc import Mapping

from common.errors import ObjectNotFound, TableNotAllowed, Violation
from common.fields import Fields
from common.ids import EXPORT_PREFIX, PATH_NAME
from common.templates.tables import name_problem
from common.tenants.sources import Sources
from common.tenants.tenant import tenant_of
from common.warehouse.warehouse import TableRef, Warehouse

MAX_SOURCES = 50


def parse_sources(fields: Fields, sources: Mapping[str, str], *, own_project: str) -> Sources:
    """Parse `name -> table`, noting every violation in `fields`. A table of our own project comes out without its project."""
    if len(sources) > MAX_SOURCES:
        fields.violation("sources", f"must be at most {MAX_SOURCES}")
    parsed = {}
    for name, text in sorted(sources.items()):
        if not PATH_NAME.fullmatch(name):
            fields.violation("sources", "names must be 1 to 50 characters of a-z, 0-9 and _, starting with a letter")
            continue
        try:
            parsed[name] = _parse(text, own_project)
        except ValueError as error:
            fields.violation(f"sources.{name}", str(error))
    return parsed


async def require_grantable(warehouse: Warehouse, sources: Sources) -> None:
    """Raise TableNotAllowed for sources of our own project that lie in a tenant's dataset, or in a dataset that does not exist and
    could become a tenant's. Other projects are guarded by their owners' IAM."""
    violations = []
    for name, table in sources.items():
        if table.project is not None or table.dataset.startswith(EXPORT_PREFIX):
            continue
        try:
            dataset = await warehouse.get_dataset(table.dataset)
        except ObjectNotFound:
            violations.append(Violation(f"sources.{name}", "names a dataset that does not exist"))
        else:
            if tenant_of(dataset) is not None:
                violations.append(Violation(f"sources.{name}", "names a tenant's dataset"))
    if violations:
        raise TableNotAllowed(violations)


def _parse(text: str, own_project: str) -> TableRef:
    """A table that a template can read. ValueError, with a sentence for the caller, for any other text."""
    table = TableRef.parse(text)
    if table.project == own_project:
        table = TableRef(table.dataset, table.table)
    if (problem := name_problem(table)) is not None:
        raise ValueError(problem)
    return table
