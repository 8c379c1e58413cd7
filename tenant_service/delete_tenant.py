"""Deletes a tenant for good: its keys are refused, its runs end, its dataset is emptied and stays, so that nobody gets the name again.

The state says how far it came: `deleting` from the first change on, `deleted` after the last. Every step can be repeated, so a deletion
that was cut off is completed by calling again.
"""

from collections.abc import Callable
from typing import Protocol

from common.audit import AuditLog, Recording
from common.fields import Fields
from common.for_each import for_each
from common.rpc.caller import Caller
from common.secret import Secret
from common.tenants.tenant import TenantRecord
from common.warehouse.warehouse import Warehouse
from tenant_service.acts import Act, begin, entry_of
from tenant_service.get_tenant import TenantView, find_tenant
from tenant_service.schema import Schema
from tenant_service.transition import take_to

_TABLES_AT_ONCE = 8


class RunCanceller(Protocol):
    """Ends the runs of a tenant that is being deleted."""

    async def cancel_runs(self, admin_key: Secret, tenant_id: str) -> None:
        """Return once every run has ended and none can start any more. Raises Unavailable, DependencyRefused; may be called again."""
        ...


class DeleteTenant:
    """The use case; one for the process."""

    def __init__(
        self,
        *,
        warehouse: Warehouse,
        schema: Schema,
        audit: AuditLog,
        runs: RunCanceller,
        states_changed: Callable[[], None],
    ) -> None:
        """`states_changed` lets this process read the tenants' states anew."""
        self._warehouse = warehouse
        self._schema = schema
        self._audit = audit
        self._runs = runs
        self._states_changed = states_changed

    async def __call__(self, caller: Caller, *, tenant_id: str, confirmation: str, request_id: str) -> TenantView:
        """Delete a tenant, complete its deletion, or answer again.

        Raises InvalidInput, RequestIdReused, TenantNotFound, TenantSchemaConflict (nothing was changed then), Unavailable and
        DependencyRefused (the tenant may be half deleted: the call is to be repeated).
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        if confirmation != tenant_id:
            fields.violation("confirmation", "must be the tenant_id once more")
        fields.request_id(request_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)
        tenant = await find_tenant(self._warehouse, tenant_id)
        act = Act("DeleteTenant", tenant_id, request_id=request_id)
        async with self._audit.recording(entry_of(caller, act)) as recording:
            if tenant.authenticates:  # else it has no table to record it in, yet or any more
                await self._schema.bring_up(tenant)
                await begin(recording, act)
            return TenantView(await self._delete(caller, tenant_id, recording), {})

    async def _delete(self, caller: Caller, tenant_id: str, recording: Recording) -> TenantRecord:
        tenant = await take_to(self._warehouse, tenant_id, "deleting", among={"creating", "ready", "suspended"})
        self._states_changed()
        if tenant.state == "deleted":
            return tenant
        await self._runs.cancel_runs(caller.key, tenant_id)
        recording.leave_table()
        await self._empty(tenant_id)
        return await take_to(self._warehouse, tenant_id, "deleted", among={"deleting"})

    async def _empty(self, tenant_id: str) -> None:
        """Delete every table and view, and those that come meanwhile."""
        while tables := await self._warehouse.list_tables(tenant_id):
            await for_each(tables, self._warehouse.delete_table, at_once=_TABLES_AT_ONCE)
