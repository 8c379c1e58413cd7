"""What is no credential, on both warehouses: every field at once, and no trace of the call."""

import json
from typing import Any

import pytest

from tests.rpc.credential_calls import CredentialCalls
from tests.rpc.key_calls import KeyCalls
from tests.rpc.statuses import refused
from tests.service_accounts import key_file

BAD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "64 KiB and a byte": ({"generic_token": "x" * 65537}, ("generic_token",)),
    "a key file of 64 KiB and a byte": ({"gcp_service_account": key_file().ljust(65537)}, ("gcp_service_account",)),
    "of another kind": (
        {"gcp_service_account": json.dumps({"type": "authorized_user", "client_id": "x", "refresh_token": "y"})},
        tuple(f"gcp_service_account.{name}" for name in ("type", "client_email", "private_key", "token_uri")),
    ),
    "a private key that does not parse": (
        {"gcp_service_account": key_file(private_key="-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n")},
        ("gcp_service_account.private_key",),
    ),
    "a token_uri on a private address": (
        {"gcp_service_account": key_file(token_uri="https://192.168.0.10/token")},
        ("gcp_service_account.token_uri",),
    ),
    "none at all": ({}, ("credential",)),
    "an empty one": ({"openai_api_key": ""}, ("openai_api_key",)),
    "everything": (
        {"name": "Robot-1", "aws_access_key": {}, "request_id": "x"},
        ("name", "aws_access_key.access_key_id", "aws_access_key.secret_access_key", "request_id"),
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_no_credential_is_refused_by_every_field_and_leaves_no_trace(keys: KeyCalls, case: str) -> None:
    credentials = CredentialCalls(keys)
    fields, violated = BAD[case]
    audited = len(await credentials.keys.audit())
    refusal = await refused(credentials.put(**fields))
    assert (refusal.code, refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", "FIELD_INVALID", violated)
    assert await credentials.rows() == []
    assert len(await credentials.keys.audit()) == audited
