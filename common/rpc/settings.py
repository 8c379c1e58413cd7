"""Settings of every gRPC server of ours, and of whom it lets in."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from common.settings import CommaSeparated, Endpoint, Settings, refuse_plaintext, require_both

_SHA256_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _sha256_digests(digests: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_SHA256_HEX.fullmatch(digest) for digest in digests):
        raise ValueError("must be SHA-256 digests, 64 hex digits each, in lower case")
    return digests


class ServerSettings(Settings):
    """How a server listens and ends. Without TLS it listens on the loopback address, unless `allow_plaintext`."""

    listen_address: Endpoint
    """Address to listen on, `host:port`; port 0 takes a free one."""
    tls_certificate_file: Path | None = None
    """The server's certificate, in PEM, followed by those between it and its authority. With it the server speaks TLS and nothing else.
    Renewed files are picked up by the next connection."""
    tls_key_file: Path | None = Field(None, validate_default=True)
    """The private key of that certificate, in PEM; readable by its owner alone."""
    tls_client_ca_file: Path | None = None
    """Certificates, in PEM, of the authorities that sign for clients. With it a client without such a certificate cannot connect (mTLS);
    an API key it needs all the same."""
    reflection: bool = False
    """Whether the server describes its methods to anybody (gRPC reflection)."""
    shutdown_grace_seconds: float = Field(default=10.0, ge=0, le=600)
    """How long calls under way may take to finish after SIGTERM, in seconds."""

    @field_validator("tls_key_file")
    @classmethod
    def _tls_or_loopback(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        require_both(key_file, "tls_certificate_file", info)
        if key_file is None:
            refuse_plaintext("listen_address", info, instead="set this and CONVERGENCE_TLS_CERTIFICATE_FILE, or ")
        return key_file

    @field_validator("tls_client_ca_file")
    @classmethod
    def _client_ca_needs_tls(cls, ca_file: Path | None, info: ValidationInfo) -> Path | None:
        if ca_file is not None and "tls_certificate_file" in info.data and info.data["tls_certificate_file"] is None:
            raise ValueError("needs CONVERGENCE_TLS_CERTIFICATE_FILE and CONVERGENCE_TLS_KEY_FILE")
        return ca_file


class AuthSettings(Settings):
    """Whose keys are accepted, and how fresh that knowledge is."""

    admin_key_hashes: Annotated[CommaSeparated, AfterValidator(_sha256_digests)] = ()
    """SHA-256 digests of the admin keys, in hex; any number, so that they can be rotated without downtime."""
    auth_bound_seconds: float = Field(default=30.0, ge=1, le=3600)
    """The published bound: how long a revoked key, a suspension or a grant taken back may still be honoured, in seconds."""
    auth_wait_seconds: float = Field(default=5.0, ge=0.1, le=60)
    """How long a call waits for the warehouse to tell who holds its key, in seconds."""
    last_used_interval_seconds: float = Field(default=3600.0, ge=1, le=86400)
    """How often a server writes down when keys were last used, in seconds."""
