"""Encrypts stored secrets anew, bound to the same rows as before. Plaintexts are held for as long as a secret's two calls take."""

import asyncio
from collections.abc import Sequence

import structlog

from common.encryption.cipher import Cipher, Context, Encrypted
from common.errors import DecryptionFailed, DependencyRefused, InvalidInput
from tenant_service.stored_secrets import StoredSecret

AT_ONCE = 16
"""Secrets that are with the KMS at a time, whoever asked."""
_PROBE = Context("convergence", "rewrap", "probe", "probe")

_log = structlog.get_logger(__name__)


class EncryptAnew:
    """Asks the KMS. One for the process."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def key_version(self) -> str:
        """The version that encrypts now, by its resource name. Raises Unavailable, DependencyRefused."""
        return (await self._cipher.encrypt_value("probe", _PROBE)).key_version

    async def __call__(self, secrets: Sequence[StoredSecret]) -> Sequence[tuple[StoredSecret, Encrypted]]:
        """The secrets, each encrypted anew, but for those that do not decrypt: the log names them.

        Raises Unavailable and DependencyRefused as the KMS does, and then at once.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(secret)) for secret in secrets]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        encrypted = [task.result() for task in tasks]
        return [(secret, new) for secret, new in zip(secrets, encrypted, strict=True) if new is not None]

    async def _one(self, secret: StoredSecret) -> Encrypted | None:
        async with self._turns:
            try:
                plaintext = await self._cipher.decrypt_value(secret.ciphertext, secret.context)
            except (
                DecryptionFailed,
                DependencyRefused,
            ) as error:  # refused: its version may be disabled, others' are not
                _log_left(secret, error)
                return None
            try:
                return await self._cipher.encrypt_value(plaintext, secret.context)
            except InvalidInput as error:  # larger than the limit is now
                _log_left(secret, error)
                return None


def _log_left(secret: StoredSecret, error: DecryptionFailed | DependencyRefused | InvalidInput) -> None:
    _log.error(
        "a stored secret cannot be encrypted anew",
        tenant_id=secret.tenant_id,
        table=secret.table.name,
        row_id=secret.row_id,
        key_version=secret.key_version,
        reason=error.reason,
    )
