"""BigQuery as a tenant's account: whose token calls carry, where tokens come from, and what is said where there is none."""

import json
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from common.credentials.service_account import ServiceAccountKey, read_key_file
from common.errors import AccessRefused, ConvergenceError, Unavailable
from common.secret import Secret
from common.warehouse.bigquery_accounts import BigQueryAccounts
from tests.service_accounts import EMAIL, key_file, pem, rsa_key
from tests.stubs.bigquery import LOCATION, BigQueryStub
from tests.stubs.token_endpoint import Answer, TokenEndpoint

SAID = "ya29.what-the-endpoint-said"


@contextmanager
def _endpoint() -> Iterator[TokenEndpoint]:
    server = TokenEndpoint({EMAIL: rsa_key().public_key()})
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with _endpoint() as server:
        yield server


@pytest.fixture
def accounts(stub: BigQueryStub) -> BigQueryAccounts:
    return _accounts(stub)


def _accounts(stub: BigQueryStub, **limits: Any) -> BigQueryAccounts:
    return BigQueryAccounts(project="stub-project", location=LOCATION, api_endpoint=stub.address, **limits)


def _key(uri: str, **changes: Any) -> ServiceAccountKey:
    return read_key_file(key_file(token_uri=uri, **changes), [uri])


async def _refusal(accounts: BigQueryAccounts, key: ServiceAccountKey) -> ConvergenceError:
    """How opening is refused; without a word of what was answered, also in the trace."""
    with pytest.raises((AccessRefused, Unavailable)) as caught:
        async with accounts.open(key):
            pass
    assert SAID not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    return caught.value


async def test_every_call_carries_the_accounts_token_fetched_once(
    accounts: BigQueryAccounts, stub: BigQueryStub, endpoint: TokenEndpoint
) -> None:
    async with accounts.open(_key(endpoint.uri)) as warehouse:
        for _ in range(3):
            await warehouse.list_datasets(label="x")
    assert [call.authorization for call in stub.calls] == [f"Bearer {endpoint.issued[0]}"] * 3
    assert len(endpoint.issued) == 1


async def test_a_token_that_ran_out_is_fetched_anew_from_the_same_place(
    accounts: BigQueryAccounts, stub: BigQueryStub, endpoint: TokenEndpoint
) -> None:
    endpoint.answers = [Answer(200, json.dumps({"access_token": "old", "expires_in": -1}))]
    async with accounts.open(_key(endpoint.uri)) as warehouse:
        await warehouse.list_datasets(label="x")
    assert [call.authorization for call in stub.calls] == [f"Bearer {endpoint.issued[0]}"]


async def test_a_key_without_an_id_gets_a_token_too(accounts: BigQueryAccounts, endpoint: TokenEndpoint) -> None:
    async with accounts.open(_key(endpoint.uri, private_key_id=None)):
        assert len(endpoint.issued) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, json.dumps({"error": "invalid_grant", "error_description": SAID})),
        Answer(401, json.dumps({"error": "unauthorized_client", "error_description": SAID})),
        Answer(403, SAID),
        Answer(404, f"<html>{SAID}</html>"),
        Answer(200, json.dumps({"id_token": SAID})),
    ],
)
async def test_an_account_that_gets_no_token_is_refused_at_once(
    accounts: BigQueryAccounts, endpoint: TokenEndpoint, answer: Answer
) -> None:
    endpoint.answers = [answer]
    assert isinstance(await _refusal(accounts, _key(endpoint.uri)), AccessRefused)
    assert endpoint.requests == 1


async def test_a_key_that_is_not_the_accounts_is_refused(accounts: BigQueryAccounts, endpoint: TokenEndpoint) -> None:
    error = await _refusal(accounts, _key(endpoint.uri, private_key=pem(rsa_key(number=2))))
    assert isinstance(error, AccessRefused)


async def test_a_private_key_that_does_not_parse_is_refused(
    accounts: BigQueryAccounts, endpoint: TokenEndpoint
) -> None:
    key = ServiceAccountKey(EMAIL, Secret(SAID), "", endpoint.uri)
    assert isinstance(await _refusal(accounts, key), AccessRefused)
    assert endpoint.requests == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(accounts: BigQueryAccounts, endpoint: TokenEndpoint, status: int) -> None:
    with _endpoint() as elsewhere:
        endpoint.answers = [Answer(status, SAID, {"Location": elsewhere.uri})]
        assert isinstance(await _refusal(accounts, _key(endpoint.uri)), AccessRefused)
        assert elsewhere.requests == 0


async def test_no_proxy_of_the_environment_sees_the_assertion(
    accounts: BigQueryAccounts, endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _endpoint() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.uri.removesuffix("/token"))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        async with accounts.open(_key(endpoint.uri)):
            pass
        assert (endpoint.requests, proxy.requests) == (1, 0)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, f"<html>{SAID}</html>"),
        Answer(200, json.dumps([SAID])),
        Answer(200, json.dumps({"access_token": [SAID]})),
        Answer(200, json.dumps({"access_token": f"{SAID}\r\nX-Other: 1"})),
        Answer(200, json.dumps({"access_token": SAID, "expires_in": "soon"})),
        Answer(200, json.dumps({"access_token": SAID, "expires_in": 1e300})),
    ],
)
async def test_an_answer_that_is_no_token_is_asked_for_again(
    accounts: BigQueryAccounts, endpoint: TokenEndpoint, answer: Answer
) -> None:
    endpoint.answers = [answer]
    async with accounts.open(_key(endpoint.uri)):
        assert endpoint.requests == 2
    endpoint.answers = [answer] * 1000
    assert isinstance(await _refusal(_accounts(_no_stub(), token_seconds=0.3), _key(endpoint.uri)), Unavailable)


def _no_stub() -> Any:
    return type("Nowhere", (), {"address": "http://127.0.0.1:1"})()


@pytest.mark.parametrize("listening", [False, True], ids=["closed", "silent"])
async def test_without_an_answer_it_is_unavailable_at_the_deadline(stub: BigQueryStub, listening: bool) -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if listening:
            place.listen()
        key = _key(f"http://127.0.0.1:{place.getsockname()[1]}/token")
        start = time.monotonic()
        assert isinstance(await _refusal(_accounts(stub, token_seconds=0.5), key), Unavailable)
        assert time.monotonic() - start < 3.0
    assert stub.calls == []
