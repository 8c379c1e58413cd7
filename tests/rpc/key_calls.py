"""What is asked of TenantService about one tenant's keys, by whomever."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration

from common.warehouse.warehouse import Row, TableRef, Warehouse
from convergence.tenant.v1 import api_key_pb2 as pb2
from convergence.tenant.v1 import tenant_service_pb2
from tests.rpc.tenant_stack import TenantStack, as_key

ALL_SCOPES = ["credentials:admin", "keys:admin", "runs:read", "runs:write"]
TIMEOUT_SECONDS = 60


def new_request_id() -> str:
    return str(uuid.uuid4())


def seconds(count: float) -> Duration:
    """A grace period."""
    duration = Duration()
    duration.FromNanoseconds(round(count * 1e9))
    return duration


@dataclass(frozen=True)
class KeyCalls:
    """A tenant that is ready; `key` is its first key and `key_id` its id. `by` of every call is the metadata of its caller."""

    stack: TenantStack
    warehouse: Warehouse
    tenant_id: str
    key: str
    key_id: str

    @property
    def admin(self) -> Any:
        """Metadata of an admin."""
        return self.stack.as_admin

    @property
    def own(self) -> Any:
        """Metadata of the first key's holder."""
        return as_key(self.key)

    def create(self, by: Any, *scopes: str, **fields: Any) -> Any:
        """CreateKey, with the scope runs:read where none is named."""
        request = pb2.CreateKeyRequest(tenant_id=self.tenant_id, scopes=scopes or ["runs:read"], **fields)
        return self.stack.stub.CreateKey(request, metadata=by, timeout=TIMEOUT_SECONDS)

    def rotate(self, by: Any, key_id: str = "", **fields: Any) -> Any:
        """RotateKey."""
        request = pb2.RotateKeyRequest(tenant_id=self.tenant_id, key_id=key_id, **fields)
        return self.stack.stub.RotateKey(request, metadata=by, timeout=TIMEOUT_SECONDS)

    def revoke(self, by: Any, key_id: str = "", **fields: Any) -> Any:
        """RevokeKey."""
        request = pb2.RevokeKeyRequest(tenant_id=self.tenant_id, key_id=key_id, **fields)
        return self.stack.stub.RevokeKey(request, metadata=by, timeout=TIMEOUT_SECONDS)

    def list(self, by: Any, **fields: Any) -> Any:
        """ListKeys."""
        request = pb2.ListKeysRequest(tenant_id=self.tenant_id, **fields)
        return self.stack.stub.ListKeys(request, metadata=by, timeout=TIMEOUT_SECONDS)

    def read(self, by: Any) -> Any:
        """GetTenant, for which a key needs runs:read and nothing else."""
        request = tenant_service_pb2.GetTenantRequest(tenant_id=self.tenant_id)
        return self.stack.stub.GetTenant(request, metadata=by, timeout=TIMEOUT_SECONDS)

    async def by_id(self) -> dict[str, pb2.ApiKey]:
        """Every key by its id, the oldest first."""
        return {key.key_id: key for key in (await self.list(self.admin)).keys}

    async def audit(self) -> Sequence[Row]:
        """What lies in the audit log."""
        return await self.warehouse.list_rows(TableRef(self.tenant_id, "audit_log"))

    async def rows(self) -> Sequence[Row]:
        """What lies in the table."""
        return await self.warehouse.list_rows(TableRef(self.tenant_id, "api_keys"))


async def new_tenant(stack: TenantStack, warehouse: Warehouse) -> KeyCalls:
    """Onboard a tenant."""
    request = tenant_service_pb2.OnboardRequest(tenant_id=f"t_{uuid.uuid4().hex[:16]}")
    answer = await stack.stub.Onboard(request, metadata=stack.as_admin, timeout=TIMEOUT_SECONDS)
    (row,) = await warehouse.list_rows(TableRef(answer.tenant_id, "api_keys"))
    return KeyCalls(stack, warehouse, answer.tenant_id, answer.api_key, str(row["key_id"]))
