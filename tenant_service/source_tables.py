"""Which tables may be granted to a tenant as sources."""

import re
from collections.abc import Mapping

from common.errors import ObjectNotFound, TableNotAllowed, Violation
from common.fields import Fields
from common.ids import PATH_NAME, RESERVED_TENANT_PREFIXES
from common.tenants.sources import Sources
from common.tenants.tenant import tenant_of
from common.warehouse.warehouse import TableRef, Warehouse

MAX_SOURCES = 50
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", re.ASCII)
_DATASET_OR_TABLE = re.compile(r"[A-Za-z0-9_]{1,1024}", re.ASCII)


def parse_sources(fields: Fields, sources: Mapping[str, str], *, own_project: str) -> Sources:
    """Parse `name -> table`, noting every violation in `fields`. A table of our own project comes out without its project."""
    if len(sources) > MAX_SOURCES:
        fields.violation("sources", f"must be at most {MAX_SOURCES}")
    parsed = {}
    for name, text in sorted(sources.items()):
        if not PATH_NAME.fullmatch(name):
            fields.violation("sources", "names must be 1 to 50 characters of a-z, 0-9 and _, starting with a letter")
        elif (table := _table(text, own_project)) is None:
            fields.violation(f"sources.{name}", "must be dataset.table or project.dataset.table")
        else:
            parsed[name] = table
    return parsed


async def require_grantable(warehouse: Warehouse, sources: Sources) -> None:
    """Raise TableNotAllowed for sources of our own project that lie in a tenant's dataset, or in a dataset that does not exist and
    could become a tenant's. Other projects are guarded by their owners' IAM."""
    violations = []
    for name, table in sources.items():
        if table.project is not None or table.dataset.startswith(RESERVED_TENANT_PREFIXES):
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


def _table(text: str, own_project: str) -> TableRef | None:
    try:
        table = TableRef.parse(text)
    except ValueError:
        return None
    if not (_DATASET_OR_TABLE.fullmatch(table.dataset) and _DATASET_OR_TABLE.fullmatch(table.table)):
        return None
    if table.project is None or table.project == own_project:
        return TableRef(table.dataset, table.table)
    return table if _PROJECT.fullmatch(table.project) else None
