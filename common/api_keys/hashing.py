"""Digests of API keys. SHA-256 without salt is enough here, since a key is 95 random bits and not a password."""

import hashlib

from common.secret import Secret

ALGORITHM = "sha256"
"""Stored beside every digest, so that it can change without a migration."""


def digest(text: str) -> str:
    """The digest of a key's text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def admin_principal(key_digest: str) -> str:
    """The name of an admin key in logs and records."""
    return f"admin:{key_digest[:8]}"


def digest_of(key: Secret) -> str:
    """The digest of a key."""
    return digest(key.reveal())
