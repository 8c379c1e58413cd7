"""`convergence-check-health`: whether a gRPC server says SERVING, for orchestrators that can only run a command in its container.

Without an address it asks the server of this very environment: at CONVERGENCE_LISTEN_ADDRESS, with TLS where that is set. Then the server's
own certificate is the authority to trust and the name to expect, and, where clients are asked for one (mTLS), the certificate to show.
"""

import argparse
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.rpc.settings import ServerSettings
from common.secret import read_secret_file
from common.settings import is_loopback, load

DEADLINE_SECONDS = 2.0
_OPTIONS = [("grpc.enable_http_proxy", 0)]
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  where a server listens, not we


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
    """A channel to the server of these settings. Raises OSError and ValueError for TLS files that do not do."""
    host, _, port = settings.listen_address.rpartition(":")
    address = f"{_EVERYWHERE.get(host, host)}:{port}"
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return grpc.insecure_channel(address, _OPTIONS)
    certificate = settings.tls_certificate_file.read_bytes()
    shown: tuple[bytes | None, bytes | None] = (None, None)
    if settings.tls_client_ca_file is not None:
        shown = (read_secret_file(settings.tls_key_file).reveal().encode(), certificate)
    credentials = grpc.ssl_channel_credentials(certificate, *shown)
    name = _name_in(settings.tls_certificate_file)
    return grpc.secure_channel(address, credentials, [*_OPTIONS, ("grpc.ssl_target_name_override", name)])


def _plaintext(address: str) -> grpc.Channel:
    is_loopback(address)  # raises ValueError for what is no address
    return grpc.insecure_channel(address, _OPTIONS)


def _name_in(certificate_file: Path) -> str:
    """A name that the certificate is for. Raises ValueError where there is none."""
    from cryptography import x509  # noqa: PLC0415

    certificate = x509.load_pem_x509_certificates(certificate_file.read_bytes())[0]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError(f"{certificate_file} names no host") from None
    hosts = [str(host) for kind in (x509.DNSName, x509.IPAddress) for host in names.get_values_for_type(kind)]
    if not hosts:
        raise ValueError(f"{certificate_file} names no host")
    return hosts[0].replace("*", "health", 1)


if __name__ == "__main__":
    main()
