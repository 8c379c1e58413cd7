"""Settings of every gRPC server of ours, and of whom it lets in."""

import os
import re
import stat
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from common.settings import CommaSeparated, Endpoint, Settings, refuse_plaintext, require_both

_SHA256_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _sha256_digests(digests: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_SHA256_HEX.fullmatch(digest) for digest in digests):
        raise ValueError("must be SHA-256 digests, 64 hex digits each, in lower case")
    return digests


def _read_unless_writable(path: Path) -> str:
    """Who may write it lets in whom they like."""
    with path.open(encoding="utf-8") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o022:
            raise ValueError(f"{path} may be written by others: it must be writable by its owner alone")
        return file.read()


class LimitSettings(Settings):
    """How much one server process takes on. What is beyond is refused at once with RESOURCE_EXHAUSTED and RetryInfo, not queued. Health and
    reflection count nowhere."""

    max_concurrent_calls: int = Field(500, ge=1, le=100_000)
    """Calls at work at once, watches (WatchRun) aside. While there are so many, others are refused before their keys are looked at."""
    max_calls_awaiting_keys: int = Field(750, ge=1, le=100_000)
    """Calls that wait for the warehouse to tell who holds their key, as every guess does, and take no other place meanwhile. While there
    are so many, only keys that are known at once are let in."""
    max_concurrent_watches: int = Field(2000, ge=1, le=100_000)
    """Watches open at once. An idle one costs memory only."""
    max_share_per_tenant: float = Field(0.5, ge=0.01, le=1)
    """Which part of these calls, and of these watches, one tenant may have, so that no tenant shuts the others out; at least one of each.
    1 for an installation of one tenant. An admin's calls are no tenant's."""
    calls_per_second_per_key: float = Field(500.0, ge=0, le=100_000)
    """Calls that one key may make in a second, on average; 0 for any number. Each process counts by itself."""
    call_burst_per_key: int = Field(1000, ge=1, le=1_000_000)
    """Calls that a key which has not been used for a while may make at once."""
    calls_per_second_per_tenant: float = Field(1000.0, ge=0, le=100_000)
    """Calls that all keys of one tenant together may make in a second, on average; 0 for any number."""
    call_burst_per_tenant: int = Field(2000, ge=1, le=1_000_000)
    """Calls that the keys of a tenant which has not called for a while may make at once."""
    max_call_seconds: float = Field(600.0, ge=0.05, le=7200)
    """The longest deadline of a call that answers once: a call without one gets this, and a longer one is cut to it. CancelRuns and
    DeleteTenant wait for runs to end."""


class ConnectionSettings(Settings):
    """How a server treats connections, and how large messages are."""

    keepalive_seconds: float = Field(60.0, ge=1, le=7200)
    """After so long without a word the client is asked for a sign of life; clients may ask every 10 s, with or without a call under way."""
    keepalive_timeout_seconds: float = Field(20.0, ge=1, le=600)
    """How long the answer may take before the connection is closed."""
    max_connection_age_seconds: float = Field(1800.0, ge=1, le=86400)
    """After so long, give or take a tenth, a client is asked to connect anew, so that new replicas get their share."""
    max_connection_age_grace_seconds: float = Field(300.0, ge=0, le=86400)
    """How long calls under way may then go on. A watch that is cut off ends with UNAVAILABLE; it is to be opened again."""
    max_request_bytes: int = Field(4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    """The largest request message; a larger one is refused with RESOURCE_EXHAUSTED, before it is read where it is twice as large."""
    max_response_bytes: int = Field(4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    """The largest response message. By default as much as clients take by theirs."""


class ServerSettings(LimitSettings, ConnectionSettings):
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
    """How long calls under way may take to finish after SIGTERM, in seconds. By then steps of runs are handed back, too."""
    shutdown_delay_seconds: float = Field(default=0.0, ge=0, le=600)
    """How long after SIGTERM, when health says NOT_SERVING already, new calls are still taken: for balancers that look now and then."""

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
    admin_key_hashes_file: Path | None = None
    """File with such digests, `a,b,c` or one a line, accepted beside those of `admin_key_hashes`; writable by its owner alone. It
    is read once, at start-up."""
    auth_bound_seconds: float = Field(default=30.0, ge=1, le=3600)
    """The published bound: how long a revoked key, a suspension or a grant taken back may still be honoured, in seconds."""
    auth_wait_seconds: float = Field(default=5.0, ge=0.1, le=60)
    """How long a call waits for the warehouse to tell who holds its key, in seconds."""
    last_used_interval_seconds: float = Field(default=3600.0, ge=1, le=86400)
    """How often a server writes down when keys were last used, in seconds."""

    def known_admin_hashes(self) -> tuple[str, ...]:
        """All of them. Raises OSError for a file that cannot be read, ValueError for one that others than its owner may write, or that
        holds anything else."""
        if self.admin_key_hashes_file is None:
            return self.admin_key_hashes
        listed = tuple(re.split(r"[\s,]+", _read_unless_writable(self.admin_key_hashes_file).strip(" \t\r\n,")))
        try:
            return (*self.admin_key_hashes, *_sha256_digests(listed))
        except ValueError as error:
            raise ValueError(f"what {self.admin_key_hashes_file} holds {error}") from None
