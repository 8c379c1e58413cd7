"""Settings of every gRPC server of ours, and of whom it lets in."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from common.network import is_loopback
from common.settings import Settings

Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ServerSettings(Settings):
    """How a server listens and ends."""

    listen_address: str
    """Address to listen on, `host:port`; port 0 takes a free one."""
    reflection: bool = False
    """Whether the server describes its methods to anybody (gRPC reflection)."""
    shutdown_grace_seconds: float = Field(default=10.0, ge=0, le=600)
    """How long calls under way may take to finish after SIGTERM, in seconds."""
    allow_plaintext: bool = False
    """Whether to speak without TLS beyond loopback, as a server and to every dependency."""

    @model_validator(mode="after")
    def _loopback_or_asked_for(self) -> "ServerSettings":
        if not self.allow_plaintext and not is_loopback(self.listen_address):
            raise ValueError("listen_address is not loopback: plaintext there must be asked for with allow_plaintext")
        return self


class AuthSettings(Settings):
    """Whose keys are accepted, and how fresh that knowledge is."""

    admin_key_hashes: tuple[Sha256Hex, ...] = ()
    """SHA-256 digests of the admin keys, in hex; any number, so that they can be rotated without downtime."""
    auth_bound_seconds: float = Field(default=30.0, ge=1, le=3600)
    """The published bound: how long a revoked key, a suspension or a grant taken back may still be honoured, in seconds."""
    auth_wait_seconds: float = Field(default=5.0, ge=0.1, le=60)
    """How long a call waits for the warehouse to tell who holds its key, in seconds."""
