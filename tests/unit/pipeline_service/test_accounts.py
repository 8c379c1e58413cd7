"""The account that a step's query runs as, and what becomes of errors on the way. Real runs: tests/rpc/test_credential_steps.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from common.clock import SystemClock
from common.credentials.service_account import ServiceAccountKey
from common.credentials.settings import GOOGLE_TOKEN_URI
from common.credentials.store import CredentialStore, StoredCredential, credential_context
from common.encryption.cipher import Cipher, Context
from common.errors import AccessRefused, CredentialUnusable, Transient, Unavailable
from common.warehouse.warehouse import Warehouse
from pipeline_service.step_errors import as_run_error, may_pass
from pipeline_service.steps.accounts import StepAccounts, TenantAccounts
from tests.service_accounts import EMAIL, key_file

TENANT = "acme"
OURS, THEIRS = cast(Warehouse, "ours"), cast(Warehouse, "theirs")


class _Store(CredentialStore):
    def __init__(self) -> None:
        """One credential, `robot`."""

    async def versions(self, tenant_id: str) -> list[StoredCredential]:
        now = SystemClock().now()
        return [
            StoredCredential(
                "cred_1", tenant_id, "robot", "gcp_service_account", 1, EMAIL, now, "key_1", True, "", b"ciphertext"
            )
        ]


class _Cipher:
    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Context]] = []
        self.away = False

    async def decrypt_value(self, ciphertext: bytes, context: Context) -> str:
        self.asked.append((ciphertext, context))
        if self.away:
            raise Unavailable("The key management service is away; nothing was changed")
        return key_file()


class _Warehouses:
    def __init__(self) -> None:
        self.opened: list[ServiceAccountKey] = []
        self.closed = 0

    @asynccontextmanager
    async def open(self, key: ServiceAccountKey) -> AsyncIterator[Warehouse]:
        self.opened.append(key)
        try:
            yield THEIRS
        finally:
            self.closed += 1


@pytest.fixture
def cipher() -> _Cipher:
    return _Cipher()


@pytest.fixture
def warehouses() -> _Warehouses:
    return _Warehouses()


@pytest.fixture
def accounts(cipher: _Cipher, warehouses: _Warehouses) -> StepAccounts:
    tenants = TenantAccounts(
        warehouses=warehouses,
        credentials=_Store(),
        cipher=cast(Cipher, cipher),
        token_uris=[GOOGLE_TOKEN_URI],
    )
    return StepAccounts(OURS, tenants)


async def test_a_step_that_names_no_credential_runs_as_ourselves_and_asks_nobody(
    accounts: StepAccounts, cipher: _Cipher, warehouses: _Warehouses
) -> None:
    async with accounts.warehouse(TENANT, None) as warehouse:
        assert warehouse is OURS
    assert (cipher.asked, warehouses.opened) == ([], [])


async def test_a_step_that_names_one_runs_as_its_account_with_the_key_of_its_row(
    accounts: StepAccounts, cipher: _Cipher, warehouses: _Warehouses
) -> None:
    async with accounts.warehouse(TENANT, "robot") as warehouse:
        assert warehouse is THEIRS
        assert warehouses.closed == 0
    assert cipher.asked == [(b"ciphertext", credential_context(TENANT, "cred_1"))]
    assert [key.client_email for key in warehouses.opened] == [EMAIL]
    assert warehouses.closed == 1


async def test_what_the_account_is_refused_is_the_credentials_fault_and_loses_its_cause(accounts: StepAccounts) -> None:
    with pytest.raises(CredentialUnusable) as caught:
        async with accounts.warehouse(TENANT, "robot"):
            raise AccessRefused("The warehouse refused access") from RuntimeError("what was answered")
    assert caught.value.message == "The credential robot cannot be used: The warehouse refused access"
    assert caught.value.metadata == {"credential": "robot"}
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("error", [Transient("busy"), Unavailable("away"), ValueError("unforeseen")])
async def test_other_errors_pass_as_they_are(accounts: StepAccounts, warehouses: _Warehouses, error: Any) -> None:
    with pytest.raises(type(error)) as caught:
        async with accounts.warehouse(TENANT, "robot"):
            raise error
    assert caught.value is error
    assert warehouses.closed == 1


async def test_without_kms_a_step_with_a_credential_is_tried_again_and_says_what_is_away(
    accounts: StepAccounts, cipher: _Cipher
) -> None:
    cipher.away = True
    with pytest.raises(Unavailable) as caught:
        async with accounts.warehouse(TENANT, "robot"):
            pass
    assert may_pass(caught.value)
    described = as_run_error(caught.value)
    assert (described.reason, described.message) == ("DEPENDENCY_UNAVAILABLE", caught.value.message)
