"""Rows with secrets, written and read beside the services: as an attacker with access to the tables would, or as a test has to."""

import uuid

from common.clock import SystemClock
from common.credentials.store import credential_context
from common.encryption.cipher import Encrypted
from common.warehouse.effects import Effects
from common.warehouse.statements import Record, insert_statement
from common.warehouse.warehouse import Parameter, Row, Statement, TableRef, Warehouse
from tests.rpc.earlier_release import NOW
from tests.rpc.tenant_stack import TenantStack


async def put_credentials(stack: TenantStack, warehouse: Warehouse, tenant_id: str, *secrets: str) -> None:
    """Rows of `cloud_credentials` with these secrets, named by their numbers; one of "" is erased."""
    spec = NOW.tables["cloud_credentials"]
    rows: list[Record] = []
    for number, secret in enumerate(secrets):
        encrypted = await stack.cipher.encrypt_value(secret, credential_context(tenant_id, f"id_{number}"))
        rows.append(
            {
                "credential_id": f"id_{number}",
                "tenant_id": tenant_id,
                "name": f"name_{number}",
                "kind": "generic_token",
                "version": 1,
                "ciphertext": encrypted.ciphertext if secret else b"",
                "kms_key_version": encrypted.key_version,
                "create_time": SystemClock().now(),
            }
        )
    await execute(warehouse, insert_statement(TableRef(tenant_id, "cloud_credentials"), spec, rows))


async def execute(warehouse: Warehouse, statement: Statement) -> None:
    await Effects(warehouse, SystemClock()).run(f"test_{uuid.uuid4().hex}", statement)


async def write_key(warehouse: Warehouse, tenant_id: str, encrypted: Encrypted) -> None:
    """Put this in place of every ciphertext of `api_keys`."""
    sql = f"UPDATE `{tenant_id}.api_keys` SET ciphertext = @ciphertext, kms_key_version = @key_version WHERE TRUE"
    parameters = (
        Parameter("ciphertext", "BYTES", encrypted.ciphertext),
        Parameter("key_version", "STRING", encrypted.key_version),
    )
    await execute(warehouse, Statement(sql, parameters))


async def key_row(warehouse: Warehouse, tenant_id: str) -> Row:
    (row,) = await warehouse.list_rows(TableRef(tenant_id, "api_keys"))
    return row


async def credentials(stack: TenantStack, warehouse: Warehouse, tenant_id: str) -> dict[str, str]:
    """What the credentials' ciphertexts decrypt to, by row."""
    rows = await warehouse.list_rows(TableRef(tenant_id, "cloud_credentials"))
    return {
        str(row["credential_id"]): await stack.cipher.decrypt_value(
            ciphertext, credential_context(tenant_id, str(row["credential_id"]))
        )
        for row in rows
        if isinstance(ciphertext := row["ciphertext"], bytes) and ciphertext
    }
