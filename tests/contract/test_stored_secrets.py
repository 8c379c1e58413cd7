"""Secrets are replaced where they are as they were read, and nowhere else."""

import asyncio

import pytest

from common.clock import SystemClock
from common.encryption.cipher import Encrypted
from common.templates.catalog import default_configs_dir
from common.warehouse.effects import Effects
from common.warehouse.schemas import load_table_spec
from common.warehouse.statements import Record, insert_statement
from common.warehouse.warehouse import Parameter, TableRef, Warehouse
from tenant_service.stored_secrets import MOST_BYTES, SECRET_TABLES, StoredSecret, StoredSecrets, batches
from tests.contract.work import execute, new_id

KEYS, CREDENTIALS = SECRET_TABLES
ROWS = 100


@pytest.fixture
def effects(warehouse: Warehouse) -> Effects:
    return Effects(warehouse, SystemClock())


@pytest.fixture
async def secrets(warehouse: Warehouse, dataset: str, effects: Effects) -> StoredSecrets:
    """A tenant with ROWS credentials, one of them erased."""
    spec = load_table_spec(default_configs_dir() / "metadata" / "schemas" / "cloud_credentials.json")
    await warehouse.create_table(TableRef(dataset, CREDENTIALS.name), spec)
    required = [column.name for column in spec.columns if column.mode == "REQUIRED" and column.type == "STRING"]
    rows: list[Record] = [
        {
            **dict.fromkeys(required, "x"),
            "credential_id": f"id_{number}",
            "ciphertext": b"old\xff" + bytes([number]) if number else b"",
            "kms_key_version": "v1",
            "version": 1,
            "create_time": SystemClock().now(),
        }
        for number in range(ROWS)
    ]
    await effects.run(new_id("rows"), insert_statement(TableRef(dataset, CREDENTIALS.name), spec, rows))
    return StoredSecrets(warehouse, effects)


def anew(secret: StoredSecret, version: str = "v2") -> tuple[StoredSecret, Encrypted]:
    return secret, Encrypted(b"new\0" + secret.ciphertext, version)


async def test_a_batch_is_replaced_by_one_statement_and_erased_secrets_are_none(
    secrets: StoredSecrets, dataset: str
) -> None:
    stored = await secrets.of(dataset)
    assert len(stored) == ROWS - 1
    (batch,) = batches(stored)
    assert await secrets.replace([anew(secret) for secret in batch]) == ROWS - 1
    after = {secret.row_id: (secret.ciphertext, secret.key_version) for secret in await secrets.of(dataset)}
    assert after == {secret.row_id: (b"new\0" + secret.ciphertext, "v2") for secret in stored}


async def test_what_was_replaced_or_erased_meanwhile_is_left_as_it_is(
    secrets: StoredSecrets, dataset: str, warehouse: Warehouse
) -> None:
    stored = await secrets.of(dataset)
    table = f"`{dataset}.{CREDENTIALS.name}`"
    sql = f"UPDATE {table} SET ciphertext = @theirs, kms_key_version = 'v3' WHERE credential_id = @id"
    for row_id, theirs in (("id_7", b"theirs"), ("id_8", b"")):
        await execute(warehouse, sql, Parameter("theirs", "BYTES", theirs), Parameter("id", "STRING", row_id))
    assert await secrets.replace([anew(secret) for secret in stored]) == ROWS - 3
    after = {secret.row_id: secret for secret in await secrets.of(dataset)}
    assert (after["id_7"].ciphertext, after["id_7"].key_version) == (b"theirs", "v3")
    assert "id_8" not in after


async def test_of_two_replacements_at_once_each_secret_has_one_whole(secrets: StoredSecrets, dataset: str) -> None:
    stored = await secrets.of(dataset)
    versions = ("v2", "v3")
    replaced = await asyncio.gather(*(secrets.replace([anew(s, version) for s in stored]) for version in versions))
    assert sum(replaced) == ROWS - 1
    assert {secret.key_version for secret in await secrets.of(dataset)} <= set(versions)


async def test_a_tenant_without_such_tables_has_no_secrets(
    warehouse: Warehouse, effects: Effects, dataset: str
) -> None:
    assert await StoredSecrets(warehouse, effects).of(dataset) == []


def test_batches_are_of_one_table_and_bounded_in_rows_and_bytes() -> None:
    small = [StoredSecret("acme", KEYS, f"key_{number}", "v1", b"x") for number in range(250)]
    large = [StoredSecret("acme", CREDENTIALS, f"c_{number}", "v1", b"x" * (64 << 10)) for number in range(70)]
    made = list(batches([*small, *large]))
    assert [len(batch) for batch in made] == [100, 100, 50, 32, 32, 6]
    assert all(len({secret.table.name for secret in batch}) == 1 for batch in made)
    assert all(sum(len(secret.ciphertext) for secret in batch) <= MOST_BYTES for batch in made)
    assert [secret for batch in made for secret in batch] == [*small, *large]
    assert list(batches([])) == []


def test_a_stored_secret_does_not_show_its_ciphertext() -> None:
    assert "secret-bytes" not in repr(StoredSecret("acme", KEYS, "key_1", "v1", b"secret-bytes"))
