"""What is asked of TenantService about one tenant's cloud credentials, by whomever."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.warehouse.warehouse import Row, TableRef
from convergence.tenant.v1 import credential_pb2 as pb2
from tests.rpc.key_calls import TIMEOUT_SECONDS, KeyCalls


@dataclass(frozen=True)
class CredentialCalls:
    """The credentials of a tenant that is ready. `by` of a call is the metadata of its caller, an admin's unless a test says otherwise."""

    keys: KeyCalls

    @property
    def tenant_id(self) -> str:
        return self.keys.tenant_id

    def put(self, name: str = "robot", *, by: Any = None, **fields: Any) -> Any:
        """PutCredential."""
        request = pb2.PutCredentialRequest(tenant_id=self.tenant_id, name=name, **fields)
        return self.keys.stack.stub.PutCredential(request, metadata=by or self.keys.admin, timeout=TIMEOUT_SECONDS)

    def list(self, *, by: Any = None, **fields: Any) -> Any:
        """ListCredentials."""
        request = pb2.ListCredentialsRequest(tenant_id=self.tenant_id, **fields)
        return self.keys.stack.stub.ListCredentials(request, metadata=by or self.keys.admin, timeout=TIMEOUT_SECONDS)

    def delete(self, name: str = "robot", *, by: Any = None, **fields: Any) -> Any:
        """DeleteCredential."""
        request = pb2.DeleteCredentialRequest(tenant_id=self.tenant_id, name=name, **fields)
        return self.keys.stack.stub.DeleteCredential(request, metadata=by or self.keys.admin, timeout=TIMEOUT_SECONDS)

    async def current(self) -> Sequence[tuple[str, int]]:
        """What is listed: names and versions."""
        return [(credential.name, credential.version) for credential in (await self.list()).credentials]

    async def rows(self) -> Sequence[Row]:
        """What lies in the table, but for the rows that only keep a name's place."""
        rows = await self.keys.warehouse.list_rows(TableRef(self.tenant_id, "cloud_credentials"))
        return sorted(
            (row for row in rows if row["version"]), key=lambda row: (str(row["name"]), int(str(row["version"])))
        )
