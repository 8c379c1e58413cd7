"""Settings of every gRPC server of ours, and of whom it lets in."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from common.settings import CommaSeparated, PlaintextEndpoint, Settings

_SHA256_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _sha256_digests(digests: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_SHA256_HEX.fullmatch(digest) for digest in digests):
        raise ValueError("must be SHA-256 digests, 64 hex digits each, in lower case")
    return digests


class ServerSettings(Settings):
    """How a server listens and ends."""

    listen_address: PlaintextEndpoint
    """Address to listen on, `host:port`; port 0 takes a free one."""
    reflection: bool = False
    """Whether the server describes its methods to anybody (gRPC reflection)."""
    shutdown_grace_seconds: float = Field(default=10.0, ge=0, le=600)
    """How long calls under way may take to finish after SIGTERM, in seconds."""


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
