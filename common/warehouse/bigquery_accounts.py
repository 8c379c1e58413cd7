"""BigQuery as a tenant's service account: its tokens come from the place that its key names, and from nowhere else.

What that place answers may hold a token: none of it goes into an error. https://developers.google.com/identity/protocols/oauth2/service-account
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import requests
from google.auth.credentials import Credentials
from google.auth.crypt import RSASigner
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport import Request, Response
from google.oauth2 import service_account

from common.credentials.rsa_key import NotUsable, read_rsa_key
from common.credentials.service_account import ServiceAccountKey
from common.errors import AccessRefused, Unavailable
from common.warehouse.bigquery import SCOPE, BigQueryWarehouse
from common.warehouse.warehouse import Warehouse

TOKEN_SECONDS = 15.0
"""How long a token may take, repetitions included. The library repeats what a place says may pass three times, for three seconds."""
_REQUEST_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0
_THREADS = 4
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What the library raises for an answer that is none."""


class BigQueryAccounts:
    """Opens BigQuery for one account at a time; what it opens works in our project, as that account."""

    def __init__(
        self, *, project: str, location: str, api_endpoint: str | None = None, token_seconds: float = TOKEN_SECONDS
    ) -> None:
        self._project = project
        self._location = location
        self._api_endpoint = api_endpoint
        self._token_seconds = token_seconds

    @asynccontextmanager
    async def open(self, key: ServiceAccountKey) -> AsyncIterator[Warehouse]:
        """BigQuery as that account. Raises AccessRefused, Unavailable."""
        credentials = _AccountCredentials(key, request_seconds=min(_REQUEST_SECONDS, self._token_seconds))
        try:
            await self._sign_in(credentials)
            warehouse = BigQueryWarehouse(
                project=self._project,
                location=self._location,
                credentials=credentials,
                api_endpoint=self._api_endpoint,
                threads=_THREADS,
            )
            try:
                yield warehouse
            finally:
                await warehouse.close()
        finally:
            credentials.close()

    async def _sign_in(self, credentials: "_AccountCredentials") -> None:
        """Fetch the first token here, where a refusal is told from the warehouse's."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        try:
            async with asyncio.timeout(self._token_seconds):
                while not await asyncio.to_thread(credentials.sign_in):
                    await asyncio.sleep(pause_seconds)
                    pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
        except TimeoutError:
            raise Unavailable("The place where the account's tokens come from is away") from None


class _AccountCredentials(Credentials):
    """Google's credentials of a service account, but for how they get their tokens: whatever session asks for one."""

    def __init__(self, key: ServiceAccountKey, *, request_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._request = _TokenRequest(key.token_uri, request_seconds)
        try:
            signer = RSASigner(read_rsa_key(key.private_key.reveal()), key.private_key_id or None)  # type: ignore[no-untyped-call]
        except NotUsable:
            raise AccessRefused("The account's private key cannot be used") from None
        self._account = service_account.Credentials(signer, key.client_email, key.token_uri, scopes=[SCOPE])  # type: ignore[no-untyped-call]

    def sign_in(self) -> bool:
        """Fetch a token; whether there is one now, since asking again may help. Raises AccessRefused. Blocks."""
        try:
            self.refresh(self._request)
        except TransportError:
            return False
        except GoogleAuthError as error:
            if error.retryable:
                return False
            raise AccessRefused("The account was refused a token") from None
        return True

    def refresh(self, request: Request) -> None:  # noqa: ARG002 - not with a session that may follow redirects
        """Fetch a token. Raises TransportError, RefreshError."""
        try:
            self._account.refresh(self._request)  # type: ignore[no-untyped-call]
            if not (isinstance(token := self._account.token, str) and token.isascii() and token.isprintable()):
                raise ValueError
        except _MALFORMED:
            raise TransportError("no token in the answer") from None  # type: ignore[no-untyped-call]
        self.token, self.expiry = token, self._account.expiry

    def close(self) -> None:
        """Forget the connection."""
        self._request.close()


class _TokenRequest(Request):
    """Asks one address, directly: through no proxy, and following no redirect."""

    def __init__(self, token_uri: str, seconds: float) -> None:
        self._token_uri = token_uri
        self._seconds = seconds
        self._session = requests.Session()
        self._session.trust_env = False

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - ours is shorter
        **_: Any,
    ) -> "_Answer":
        if url != self._token_uri:
            raise TransportError("not the place where tokens come from")  # type: ignore[no-untyped-call]
        try:
            return _Answer(
                self._session.request(
                    method, url, data=body, headers=headers, timeout=self._seconds, allow_redirects=False
                )
            )
        except requests.RequestException:
            raise TransportError("the place where tokens come from is away") from None  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._session.close()


class _Answer(Response):
    """What was answered, in the library's words."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.content
