"""The identifiers that callers choose: their shapes, checked in one place. UUIDs as in RFC 9562."""

import re
import uuid

TENANT_ID = re.compile(r"[a-z][a-z0-9_]{2,49}", re.ASCII)
PATH_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}", re.ASCII)
"""A provider, a domain, the name of a source, of a credential, of a table in a destination."""
TEMPLATE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}", re.ASCII)

RESERVED_TENANT_IDS = frozenset(
    "admin checked convergence customer default information_schema main memory metadata pg_catalog pg_temp public region system temp "
    "temporary warehouse".split()
)
"""Names that mean something to BigQuery, DuckDB or us."""
EXPORT_PREFIX = "billing_export_"
"""Datasets with the tenants' exports, which can be no tenant's own."""
RESERVED_TENANT_PREFIXES = (EXPORT_PREFIX, "convergence_", "pg_", "region_")
RESERVED_PROVIDERS = frozenset({"customer", "metadata"})
"""Folders of configs/ that hold no pipeline templates."""


def tenant_id_problem(tenant_id: str) -> str | None:
    """Why a tenant id is malformed or refused; None for a good one."""
    if not TENANT_ID.fullmatch(tenant_id):
        return "must be 3 to 50 characters of a-z, 0-9 and _, starting with a letter"
    if tenant_id in RESERVED_TENANT_IDS or tenant_id.startswith(RESERVED_TENANT_PREFIXES):
        return "is reserved"
    return None


def request_id_problem(request_id: str) -> str | None:
    """Why a request id is malformed; None for a UUID4 in its canonical form, and for none at all."""
    if not request_id:
        return None
    try:
        parsed = uuid.UUID(request_id)
    except ValueError:
        return "must be a UUID4"
    return None if parsed.version == 4 and str(parsed) == request_id.lower() else "must be a UUID4"
