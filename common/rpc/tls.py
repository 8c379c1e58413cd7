"""TLS of our servers and clients. Renewed certificates serve from the next connection on, without a restart."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from common.channels import DIRECT
from common.rpc.settings import ServerSettings
from common.rpc.tls_files import RenewedTls, Tls, TlsFiles

CLOSE_GRACE_SECONDS = 600.0
"""How long calls under way may go on over a channel whose certificate was renewed meanwhile."""


def server_credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """What the server shows and asks for; None where it speaks plaintext. Raises ValueError that names every file that does not do."""
    if settings.tls_certificate_file is None:
        return None
    tls = RenewedTls(
        TlsFiles(settings.tls_certificate_file, settings.tls_key_file, authorities=settings.tls_client_ca_file)
    )
    shown = tls.current()

    def renewed() -> Any:  # a configuration or None, which the type checker does not know of
        """What has changed since the connection before. gRPC asks at each handshake, in threads of its own."""
        nonlocal shown
        current = tls.current()
        if current is shown:
            return None
        shown = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown), renewed, require_client_authentication=settings.tls_client_ca_file is not None
    )


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    pair: Any = (tls.key, tls.certificate)  # a server has both
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=tls.authorities)


class RenewedChannel:
    """A channel to one address, and another once its TLS files have changed: calls under way finish on the old one.

    For one event loop.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: RenewedTls | None,
        server_name: str | None = None,
        options: Sequence[tuple[str, str | int]] = (),
    ) -> None:
        """Plaintext where `tls` is None; the system's authorities where it names none. `server_name` is the name that the server's
        certificate must have, where it is not the address's host."""
        self._address = address
        self._tls = tls
        self._options = [*options, *([("grpc.ssl_target_name_override", server_name)] if server_name else ())]
        self._used = tls.current() if tls else None
        self._channel = self._open()
        self._closing: set[asyncio.Task[None]] = set()

    def get(self) -> grpc.aio.Channel:
        """The channel for the next call."""
        current = self._tls.current() if self._tls else None
        if current is not self._used:
            self._used = current
            closing = asyncio.create_task(self._channel.close(CLOSE_GRACE_SECONDS))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._channel = self._open()
        return self._channel

    async def close(self) -> None:
        """Close every connection; calls under way are cancelled."""
        for closing in self._closing:
            closing.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close()

    def _open(self) -> grpc.aio.Channel:
        if self._used is None:
            return grpc.aio.insecure_channel(self._address, [*self._options, DIRECT])
        credentials = grpc.ssl_channel_credentials(self._used.authorities, self._used.key, self._used.certificate)
        return grpc.aio.secure_channel(self._address, credentials, self._options)
