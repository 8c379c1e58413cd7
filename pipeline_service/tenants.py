"""What running a template needs to know of a tenant. `common.tenants` answers from memory, within the published bound."""

from collections.abc import Mapping
from typing import Protocol

from common.warehouse.warehouse import TableRef


class Tenants(Protocol):
    """A tenant's state and grants. Both raise Unavailable when they are not known recently enough."""

    async def require_ready(self, tenant_id: str) -> None:
        """Return when new runs may start. Raises TenantNotFound, TenantNotReady, TenantSuspended."""
        ...

    async def sources(self, tenant_id: str) -> Mapping[str, TableRef]:
        """The tables outside its dataset that the tenant may read, by name."""
        ...
