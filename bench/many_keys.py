"""A warehouse of many tenants with three keys each, made up as they are read, and the verifier over it as the services have it."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from common.api_keys.hashing import ALGORITHM, digest
from common.api_keys.scopes import SCOPES
from common.api_keys.store import KeyStore
from common.api_keys.usage import KeyUsage
from common.api_keys.verifier import KeyVerifier
from common.clock import SystemClock
from common.tenants.directory import TenantDirectory
from common.tenants.tenant import tenant_labels
from common.warehouse.effects import Effects
from common.warehouse.warehouse import Dataset, Row, TableRef, Warehouse

KEYS_A_TENANT = 3
SCOPE = "runs:read"
"""What the verified calls need."""
_BOUND_SECONDS = 3600.0  # nothing is refreshed while it is measured
_WAIT_SECONDS = 5.0


class ManyKeys:
    """As much of a warehouse as verification needs. Every value is an object of its own, as what comes over a wire is."""

    def __init__(self, tenants: int) -> None:
        self.tenant_ids = [f"tenant_{number:06}" for number in range(tenants)]

    def keys(self) -> Iterator[str]:
        """Every key, tenant by tenant."""
        for tenant_id in self.tenant_ids:
            for number in range(KEYS_A_TENANT):
                yield _key(tenant_id, number)

    async def list_datasets(self, *, label: str) -> Sequence[Dataset]:  # noqa: ARG002
        """Every tenant, ready."""
        return [self._dataset(tenant_id) for tenant_id in self.tenant_ids]

    async def list_rows(self, ref: TableRef) -> Sequence[Row]:
        """A tenant's keys: with an expiry, and one of them superseded."""
        now = datetime.now(UTC)
        return [
            {
                "key_id": f"key_{digest(f'{ref.dataset}{number}')[:16]}",
                "key_hash": digest(_key(ref.dataset, number)),
                "hash_algorithm": ALGORITHM,
                "scopes": ["".join(list(scope)) for scope in SCOPES],
                "expire_time": now + timedelta(days=number + 1),
                "supersede_time": None if number else now,
                "revoke_time": None,
            }
            for number in range(KEYS_A_TENANT)
        ]

    def _dataset(self, tenant_id: str) -> Dataset:
        claim, request, body = (digest(f"{tenant_id}{part}")[:32] for part in range(3))
        labels = tenant_labels("ready", claim=claim, request=request, body=body)
        return Dataset("".join(list(tenant_id)), "", dict(labels), datetime.now(UTC), "")


def verifier_over(warehouse: ManyKeys) -> KeyVerifier:
    """One that has read nothing yet."""
    clock, port = SystemClock(), cast("Warehouse", warehouse)
    return KeyVerifier(
        admin_digests=(),
        directory=TenantDirectory(port, bound_seconds=_BOUND_SECONDS, wait_seconds=_WAIT_SECONDS, clock=clock),
        load_keys=KeyStore(port).load,
        usage=KeyUsage(Effects(port, clock), interval_seconds=_BOUND_SECONDS, clock=clock),
        bound_seconds=_BOUND_SECONDS,
        wait_seconds=_WAIT_SECONDS,
        clock=clock,
    )


async def verify_all(verifier: KeyVerifier, warehouse: ManyKeys) -> None:
    """Verify every key, so that all are in memory."""
    for key in warehouse.keys():
        await verifier.authenticate(key, SCOPE)


def _key(tenant_id: str, number: int) -> str:
    return f"{tenant_id}_api_{hashlib.sha256(f'{tenant_id} {number}'.encode()).hexdigest()[:16]}"
