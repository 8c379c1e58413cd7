"""Deletes a credential of a tenant: its ciphertext is erased, what is known of it stays in the table."""

from collections.abc import Sequence

from common.credentials.changes import CredentialChanges
from common.credentials.store import CredentialStore, StoredCredential, live
from common.errors import ConcurrentChange, CredentialNotFound
from common.fields import Fields
from common.ids import PATH_NAME
from common.rpc.caller import Caller
from tenant_service.acts import Act, Acts, Turn

MOST_TRIES = 16
"""How often others may replace it first."""


class DeleteCredential:
    """The use case; one for the process."""

    def __init__(self, *, acts: Acts, credentials: CredentialStore, changes: CredentialChanges) -> None:
        self._acts = acts
        self._credentials = credentials
        self._changes = changes

    async def __call__(self, caller: Caller, *, tenant_id: str, name: str, request_id: str) -> StoredCredential:
        """Delete the current version; what was known of it. A repeat deletes nothing that was stored since.

        Raises InvalidInput, TenantMismatch, TenantNotFound, TenantNotReady, RequestIdReused, CredentialNotFound, ConcurrentChange,
        Transient, Unavailable.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.pattern("name", name, PATH_NAME)
        fields.request_id(request_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)
        act = Act("DeleteCredential", tenant_id, resource=name, request_id=request_id)
        return await self._acts.do(caller, act, lambda turn: self._delete(turn, name))

    async def _delete(self, turn: Turn, name: str) -> StoredCredential:
        tenant_id, ended_by = turn.tenant.tenant_id, f"delete_{turn.act_id[:16]}"
        versions = await self._credentials.versions(tenant_id)
        for _ in range(MOST_TRIES):
            if (deleted := _ended_by(versions, ended_by)) is not None:
                return deleted
            if (current := live(versions, name)) is None:
                raise CredentialNotFound
            await self._changes.delete(turn.act_id, current, ended_by=ended_by)
            versions = await self._credentials.versions(tenant_id)
        if (deleted := _ended_by(versions, ended_by)) is None:
            raise ConcurrentChange
        return deleted


def _ended_by(versions: Sequence[StoredCredential], ended_by: str) -> StoredCredential | None:
    return next((each for each in versions if each.ended_by == ended_by), None)
