"""How commands are told where the gateway listens, what is behind it, and what of it is TLS."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config import gateway_config
from gateway.methods import SERVICES
from gateway.tls import CallersTls, ServicesTls

TLS_FILES = {
    "tls-certificate": "the gateway's certificate: callers speak TLS",
    "tls-key": "the private key of that certificate",
    "tls-client-ca": "authorities that sign for callers, who must then show a certificate",
    "services-ca": "authorities that sign for the services: they are spoken to with TLS",
    "services-certificate": "the gateway's certificate for services that ask for one",
    "services-key": "the private key of that certificate",
}
"""Each in PEM. Envoy reads them when it starts."""


def add_addresses(parser: argparse.ArgumentParser) -> None:
    """Let a command be told where callers find the gateway, where it finds the replicas, and how it speaks TLS with either."""
    parser.add_argument("--listen", metavar="HOST:PORT", required=True, help="where callers find the gateway")
    for server in SERVICES:
        text = f"a replica of {server}, or a name that resolves to all of them; once for each"
        parser.add_argument(
            f"--{server.replace('_', '-')}", metavar="HOST:PORT", required=True, action="append", help=text
        )
    for option, text in TLS_FILES.items():
        parser.add_argument(f"--{option}", metavar="FILE", type=Path, help=text)
    name_text = "the name in the services' certificates, where it is not the host of a replica"
    parser.add_argument("--services-name", metavar="NAME", help=name_text)


def configured(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict[str, Any]:
    """The gateway's configuration for those. Ends the process with status 2 for an address that is none, and for half
    of what TLS needs."""
    given = vars(arguments)
    try:
        return gateway_config(
            given["listen"],
            {server: given[server] for server in SERVICES},
            callers_tls=_callers_tls(given),
            services_tls=_services_tls(given),
        )
    except ValueError as error:
        parser.error(str(error))


def _callers_tls(given: Mapping[str, Any]) -> CallersTls | None:
    certificate, key, authorities = (given[name] for name in ("tls_certificate", "tls_key", "tls_client_ca"))
    if certificate and key:
        return CallersTls(certificate, key, authorities)
    if certificate or key or authorities:
        raise ValueError("--tls-certificate and --tls-key go together, and --tls-client-ca needs both")
    return None


def _services_tls(given: Mapping[str, Any]) -> ServicesTls | None:
    certificate, key, name = (given[f"services_{part}"] for part in ("certificate", "key", "name"))
    if given["services_ca"]:
        return ServicesTls(given["services_ca"], certificate, key, name)
    if certificate or key or name:
        raise ValueError("--services-certificate, --services-key and --services-name need --services-ca")
    return None
