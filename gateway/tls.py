"""TLS on both sides of the gateway: what it shows to callers, and how it speaks to the services. Envoy reads the files when it starts."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


@dataclass(frozen=True, slots=True)
class CallersTls:
    """The gateway's certificate and its private key, and the authorities that sign for callers where these must show a certificate, too."""

    certificate: Path
    key: Path
    authorities: Path | None = None

    def transport_socket(self) -> dict[str, Any]:
        """The `transport_socket` of a listener."""
        context = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [_pair(self.certificate, self.key)]}
        validation = {"validation_context": {"trusted_ca": _file(self.authorities)}} if self.authorities else {}
        return _socket(
            "DownstreamTlsContext",
            common_tls_context={**context, **validation, "tls_params": _OLDEST},
            require_client_certificate=self.authorities is not None,
        )


@dataclass(frozen=True, slots=True)
class ServicesTls:
    """The authorities that sign for the services, and the gateway's own pair where these ask for one (mTLS).

    A service's certificate must have the host of one of its replicas, or `server_name` where that is given.
    """

    authorities: Path
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for one half of a pair."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate for the services goes with its key: name both or neither")

    def transport_socket(self, hosts: Sequence[str]) -> dict[str, Any]:
        """The `transport_socket` of the cluster whose replicas have these hosts."""
        names = [self.server_name] if self.server_name else sorted(set(hosts))
        known = [name for name in names if not is_ip_address(name)]
        pair = {"tls_certificates": [_pair(self.certificate, self.key)]} if self.certificate and self.key else {}
        validation = {
            "trusted_ca": _file(self.authorities),
            "match_typed_subject_alt_names": [
                {"san_type": "IP_ADDRESS" if is_ip_address(name) else "DNS", "matcher": {"exact": name}}
                for name in names
            ],
        }
        context = {"alpn_protocols": ["h2"], **pair, "validation_context": validation, "tls_params": _OLDEST}
        return _socket("UpstreamTlsContext", common_tls_context=context, **({"sni": known[0]} if known else {}))


_OLDEST = {"tls_minimum_protocol_version": "TLSv1_2"}


def _socket(kind: str, **config: Any) -> dict[str, Any]:
    return {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": f"{_TYPE}{kind}", **config}}


def _pair(certificate: Path, key: Path) -> dict[str, Any]:
    return {"certificate_chain": _file(certificate), "private_key": _file(key)}


def _file(path: Path) -> dict[str, str]:
    return {"filename": str(path)}


def is_ip_address(name: str) -> bool:
    """Whether a host is an address, and no name to resolve."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
