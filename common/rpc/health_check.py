"""`convergence-check-health`: whether a gRPC server says SERVING, for orchestrators that can only run a command in its container.

Without an address it asks the server of this very environment: at CONVERGENCE_LISTEN_ADDRESS, with TLS where that is set. Then it trusts
whichever certificate is served at that address of its own: a server keeps the last one that did, when a renewal does not, and must not be
taken out of service for that. Where clients are asked for one (mTLS), it shows the server's own, as the files have it now.
"""

import argparse
import ssl
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.channels import DIRECT
from common.endpoint import split_endpoint
from common.rpc.settings import ServerSettings
from common.secret import read_secret_file
from common.settings import load

DEADLINE_SECONDS = 2.0
_OPTIONS = [DIRECT]
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where a server listens, not we


def main() -> None:
    """Exit status 0 for SERVING; 1, with one line that says what was heard instead, for anything else."""
    parser = argparse.ArgumentParser(prog="convergence-check-health", description="Ask whether a gRPC server serves.")
    parser.add_argument("address", metavar="HOST:PORT", nargs="?", help="spoken to without TLS; default: this server")
    parser.add_argument("--service", default="", help="ask for one service or dependency instead of the whole server")
    arguments = parser.parse_args()
    try:
        channel = _plaintext(arguments.address) if arguments.address else own_channel(load(ServerSettings))
    except (OSError, ValueError) as error:
        sys.exit(f"cannot ask: {error}")
    with channel:
        heard = ask(channel, arguments.service)
    if heard != "SERVING":
        sys.exit(heard)


def ask(channel: grpc.Channel, service: str) -> str:
    """What the server says of `service`, within DEADLINE_SECONDS: a serving status, or the status of a call that failed."""
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_SECONDS
        )
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def own_channel(settings: ServerSettings) -> grpc.Channel:
    """A channel to the server of these settings. Raises OSError where there is none, and as ValueError for TLS files that do not do."""
    listening, port = split_endpoint(settings.listen_address)
    host = _EVERYWHERE.get(listening, listening)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return grpc.insecure_channel(address, _OPTIONS)
    shown: tuple[bytes | None, bytes | None] = (None, None)
    if settings.tls_client_ca_file is not None:
        key = read_secret_file(settings.tls_key_file).reveal().encode()
        shown = (key, settings.tls_certificate_file.read_bytes())
    served = _served_at(address)
    credentials = grpc.ssl_channel_credentials(served, *shown)
    name = _name_in(served)
    return grpc.secure_channel(address, credentials, [*_OPTIONS, ("grpc.ssl_target_name_override", name)])


def _plaintext(address: str) -> grpc.Channel:
    split_endpoint(address)  # raises ValueError for what is none
    return grpc.insecure_channel(address, _OPTIONS)


def _served_at(address: str) -> bytes:
    """The certificate that a server shows, in PEM. Raises OSError where none answers within DEADLINE_SECONDS."""
    return ssl.get_server_certificate(split_endpoint(address), timeout=DEADLINE_SECONDS).encode()


def _name_in(pem: bytes) -> str:
    """A name that a certificate is for. Raises ValueError where there is none."""
    from cryptography import x509  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError("the certificate that is served names no host") from None
    hosts = [str(host) for kind in (x509.DNSName, x509.IPAddress) for host in names.get_values_for_type(kind)]
    if not hosts:
        raise ValueError("the certificate that is served names no host")
    return hosts[0].replace("*", "health", 1)


if __name__ == "__main__":
    main()
