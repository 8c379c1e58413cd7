"""Stores a credential of a tenant, encrypted, in the place of the one that goes by its name."""

from collections.abc import Sequence

from common.credentials.changes import CredentialChanges, NewVersion
from common.credentials.kinds import Acceptance, AcceptedCredential, GivenCredential
from common.credentials.store import CredentialStore, StoredCredential, credential_context, last_version
from common.encryption.cipher import Cipher
from common.errors import ConcurrentChange
from common.fields import Fields
from common.ids import PATH_NAME
from common.rpc.caller import Caller
from tenant_service.acts import Act, Acts, Turn

MOST_TRIES = 16
"""How often others may be first, one version at a time."""


class PutCredential:
    """The use case; one for the process."""

    def __init__(
        self,
        *,
        acts: Acts,
        acceptance: Acceptance,
        credentials: CredentialStore,
        changes: CredentialChanges,
        cipher: Cipher,
    ) -> None:
        self._acts = acts
        self._acceptance = acceptance
        self._credentials = credentials
        self._changes = changes
        self._cipher = cipher

    async def __call__(
        self, caller: Caller, *, tenant_id: str, name: str, given: GivenCredential | None, request_id: str
    ) -> StoredCredential:
        """Store a credential; `given` is None where the request has none. What is returned is as it was stored, also for a repeat after it
        was replaced.

        Raises InvalidInput, TenantMismatch, TenantNotFound, TenantNotReady, RequestIdReused, ConcurrentChange, Transient, Unavailable,
        DependencyRefused.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.pattern("name", name, PATH_NAME)
        accepted = self._acceptance.check(fields, given)
        fields.request_id(request_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)
        assert given is not None  # noqa: S101 - as the fields are valid
        assert accepted is not None  # noqa: S101 - likewise

        act = Act(
            "PutCredential",
            tenant_id,
            resource=name,
            request_id=request_id,
            fields={"kind": given.kind, "texts": dict(given.texts)},
        )
        return await self._acts.do(caller, act, lambda turn: self._put(caller, turn, name, accepted))

    async def _put(self, caller: Caller, turn: Turn, name: str, accepted: AcceptedCredential) -> StoredCredential:
        tenant_id = turn.tenant.tenant_id
        credential_id = f"cred_{turn.act_id[:16]}"
        versions = await self._credentials.versions(tenant_id)
        if (stored := _with_id(versions, credential_id)) is not None:
            return stored
        context = credential_context(tenant_id, credential_id)
        new = NewVersion(
            credential_id=credential_id,
            tenant_id=tenant_id,
            name=name,
            kind=accepted.kind,
            identity=accepted.identity,
            principal=caller.principal,
            encrypted=await self._cipher.encrypt_value(accepted.plaintext.reveal(), context),
        )
        for _ in range(MOST_TRIES):
            await self._changes.put(turn.act_id, new, after=last_version(versions, name))
            versions = await self._credentials.versions(tenant_id)
            if (stored := _with_id(versions, credential_id)) is not None:
                return stored
        raise ConcurrentChange


def _with_id(versions: Sequence[StoredCredential], credential_id: str) -> StoredCredential | None:
    return next((each for each in versions if each.credential_id == credential_id), None)
