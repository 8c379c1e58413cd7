"""Tenants as earlier releases of TenantService left them, made by hand: tables without what came since, and no word of a version."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from common.api_keys.hashing import ALGORITHM, digest_of
from common.api_keys.key import display_prefix, mint
from common.api_keys.store import key_context
from common.clock import SystemClock
from common.encryption.cipher import Cipher
from common.templates.catalog import default_configs_dir
from common.templates.onboarding import load_onboarding_template
from common.tenants.sources import sources_statement
from common.tenants.tenant import State, tenant_labels
from common.warehouse.effects import Effects
from common.warehouse.statements import Record, insert_statement
from common.warehouse.warehouse import TableRef, TableSpec, Warehouse
from tests.rpc.tenant_stack import as_key

NOW = load_onboarding_template(default_configs_dir())
"""What this release gives a tenant."""
SINCE_VERSION_1 = {
    "audit_log": {"request_digest", "body_digest"},
    "cloud_credentials": {"identity", "ended_by"},
    "pipeline_runs": {"retry_of", "cost_usd", "backfill_of", "backfill", "newest_source_row_time"},
    "step_logs": {"cost_usd", "price_per_tib_usd"},
}
"""The columns that versions 2 and 3 added."""


def tables_of_version_1() -> Mapping[str, TableSpec]:
    """The tables of version 1, by name."""
    return {
        name: replace(spec, columns=tuple(c for c in spec.columns if c.name not in SINCE_VERSION_1.get(name, ())))
        for name, spec in NOW.tables.items()
    }


@dataclass(frozen=True)
class OldTenant:
    """A tenant of version 1; `key` is the metadata of its key's holder, `key_id` that key's row."""

    tenant_id: str
    key: Any
    key_id: str


async def old_tenant(
    warehouse: Warehouse, cipher: Cipher, *, state: State = "ready", without: frozenset[str] = frozenset()
) -> OldTenant:
    """A new tenant of version 1, in a state, lacking also the tables `without`."""
    tenant_id = f"t_{uuid.uuid4().hex[:16]}"
    labels = tenant_labels(state, claim=uuid.uuid4().hex, request=uuid.uuid4().hex, body="0")
    await warehouse.create_dataset(tenant_id, location="US", labels=labels)
    tables = {name: spec for name, spec in tables_of_version_1().items() if name not in without}
    for name, spec in tables.items():
        await warehouse.create_table(TableRef(tenant_id, name), spec)
    key, key_id = mint(tenant_id), f"key_{uuid.uuid4().hex[:16]}"
    encrypted = await cipher.encrypt_value(key.reveal(), key_context(tenant_id, key_id))
    row: Record = {
        "key_id": key_id,
        "tenant_id": tenant_id,
        "key_hash": digest_of(key),
        "hash_algorithm": ALGORITHM,
        "ciphertext": encrypted.ciphertext,
        "kms_key_version": encrypted.key_version,
        "display_prefix": display_prefix(tenant_id, key),
        "scopes": NOW.scopes,
        "create_time": SystemClock().now(),
    }
    effects = Effects(warehouse, SystemClock())
    keys = TableRef(tenant_id, "api_keys")
    await effects.run(f"old_{key_id}", insert_statement(keys, tables["api_keys"], [row]))
    if "tenant_settings" in tables:
        await effects.run(f"old_{key_id}_sources", sources_statement(tenant_id, {}, principal="admin:old"))
    return OldTenant(tenant_id, as_key(key.reveal()), key_id)


async def specs_of(warehouse: Warehouse, tenant_id: str) -> Mapping[str, set[tuple[str, str, str]]]:
    """The columns of a tenant's metadata tables as they are."""
    return {name: columns((await warehouse.get_table(TableRef(tenant_id, name))).spec) for name in NOW.tables}


def columns(spec: TableSpec) -> set[tuple[str, str, str]]:
    """Names, types and modes."""
    return {(column.name, column.type, column.mode) for column in spec.columns}


CURRENT = {name: columns(spec) for name, spec in NOW.tables.items()}
"""What `specs_of` says of a tenant of this version."""
