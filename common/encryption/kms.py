"""Secrets at rest: `encrypt_value` and `decrypt_value`, with Cloud KMS behind them. There is no plaintext fallback.

A ciphertext is bound to the row that it was made for: moved to another tenant, table or row it does not decrypt. Both directions are
checked with CRC32C, as https://cloud.google.com/kms/docs/data-integrity-guidelines asks.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import google.auth.exceptions
import google_crc32c
import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.kms_v1 import KeyManagementServiceAsyncClient
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcAsyncIOTransport
from google.cloud.kms_v1.types import DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse

from common.channels import DIRECT
from common.encryption.cipher import Context, Encrypted
from common.encryption.settings import KmsSettings
from common.errors import ConvergenceError, DecryptionFailed, DependencyRefused, InvalidInput, Unavailable, Violation
from common.secret import Secret, read_secret_file

_TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
    }
)
"""What repeating may mend. Anything else, also what is not known, is final."""

_Response = TypeVar("_Response")


class CloudKms:
    """`Cipher` on one symmetric Cloud KMS key; each call takes at most `timeout_seconds`. Safe to use from many tasks at once."""

    def __init__(
        self,
        client: KeyManagementServiceAsyncClient,
        *,
        key_name: str,
        max_bytes: int = 64 * 1024,
        timeout_seconds: float = 5.0,
        token: Secret | None = None,
    ) -> None:
        self._client = client
        self._key_name = key_name
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._token = token

    async def encrypt_value(self, plaintext: str, context: Context) -> Encrypted:
        """Encrypt under the key's primary version. `plaintext` and context together are at most `max_bytes` of UTF-8."""
        additional = context.additional_data()
        try:
            data = plaintext.encode()
        except UnicodeEncodeError:  # not as the cause: it holds the plaintext
            raise InvalidInput([Violation("value", "is not valid Unicode")]) from None
        if len(data) + len(additional) > self._max_bytes:
            raise InvalidInput([Violation("value", f"must be at most {self._max_bytes - len(additional)} bytes")])
        request = EncryptRequest(
            name=self._key_name,
            plaintext=data,
            plaintext_crc32c=google_crc32c.value(data),
            additional_authenticated_data=additional,
            additional_authenticated_data_crc32c=google_crc32c.value(additional),
        )
        response = await self._call(self._client.encrypt, request, self._is_intact_encryption)
        return Encrypted(response.ciphertext, response.name)

    async def decrypt_value(self, ciphertext: bytes, context: Context) -> str:
        """Decrypt with whichever version of the key encrypted."""
        additional = context.additional_data()
        request = DecryptRequest(
            name=self._key_name,
            ciphertext=ciphertext,
            ciphertext_crc32c=google_crc32c.value(ciphertext),
            additional_authenticated_data=additional,
            additional_authenticated_data_crc32c=google_crc32c.value(additional),
        )
        response = await self._call(self._client.decrypt, request, _is_intact_decryption)
        try:
            return response.plaintext.decode()
        except UnicodeDecodeError:  # not as the cause: it holds the plaintext
            raise DecryptionFailed from None

    async def close(self) -> None:
        """Close the connection."""
        await self._client.transport.close()  # type: ignore[no-untyped-call]

    async def _call(
        self, rpc: Callable[..., Awaitable[_Response]], request: Any, is_intact: Callable[[_Response], bool]
    ) -> _Response:
        """Call, and repeat what is transient until the deadline. An answer that is not intact counts as lost on the way."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._timeout_seconds
        metadata = (("authorization", f"Bearer {self._token.reveal()}"),) if self._token else ()
        longest_pause = 0.05
        while True:
            try:
                # The client's own retry would go on for a minute, whatever the timeout.
                response = await rpc(request=request, metadata=metadata, retry=None, timeout=deadline - clock())
            except GoogleAPICallError as error:
                if error.grpc_status_code not in _TRANSIENT:
                    raise _final(error, decrypting=isinstance(request, DecryptRequest)) from error
                failure: Exception = error
            else:
                if is_intact(response):
                    return response
                failure = _DamagedAnswer("CRC32C or key name of the KMS answer does not match")
            pause = longest_pause * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, guards nothing)
            if clock() + pause >= deadline:
                raise Unavailable("The key management service is away; nothing was changed") from failure
            await asyncio.sleep(pause)
            longest_pause = min(2 * longest_pause, 1.0)

    def _is_intact_encryption(self, response: EncryptResponse) -> bool:
        return (
            response.verified_plaintext_crc32c
            and response.verified_additional_authenticated_data_crc32c
            and response.ciphertext_crc32c == google_crc32c.value(response.ciphertext)
            and response.name.startswith(f"{self._key_name}/cryptoKeyVersions/")
        )


def connect(settings: KmsSettings) -> CloudKms:
    """Open the client that the settings describe; call it inside the running event loop, and close what it gives.

    Connects on the first call. Raises DependencyRefused where there are no Google credentials, OSError or ValueError for the token file.
    """
    token = read_secret_file(settings.kms_token_file) if settings.kms_token_file else None
    if settings.kms_endpoint:
        # Reconnect as fast as the local stack restarts its parts.
        channel = grpc.aio.insecure_channel(
            settings.kms_endpoint,
            options=[DIRECT, ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)],
        )
        client = KeyManagementServiceAsyncClient(transport=KeyManagementServiceGrpcAsyncIOTransport(channel=channel))
    else:
        try:
            client = KeyManagementServiceAsyncClient()
        except google.auth.exceptions.GoogleAuthError as error:
            raise DependencyRefused("No Google credentials for the key management service were found") from error
    return CloudKms(
        client,
        key_name=settings.kms_key_name,
        max_bytes=settings.kms_max_bytes,
        timeout_seconds=settings.kms_timeout_seconds,
        token=token,
    )


class _DamagedAnswer(Exception):
    """KMS answered, and what arrived is not what was sent."""


def _is_intact_decryption(response: DecryptResponse) -> bool:
    return bool(response.plaintext_crc32c == google_crc32c.value(response.plaintext))


def _final(error: GoogleAPICallError, *, decrypting: bool) -> ConvergenceError:
    if decrypting and error.grpc_status_code is grpc.StatusCode.INVALID_ARGUMENT:
        return DecryptionFailed()
    return DependencyRefused("The key management service refused the call; an operator has to act")
