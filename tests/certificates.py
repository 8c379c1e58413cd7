"""A certificate authority of the tests' own."""

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Authority:
    """Signs certificates for 127.0.0.1 and one name."""

    name: str = "test authority"
    _key: ec.EllipticCurvePrivateKey = field(default_factory=_new_key)

    @cached_property
    def certificate(self) -> bytes:
        """Its own certificate, in PEM."""
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        return (
            self._signed(self.name, self._key)
            .add_extension(constraints, critical=True)
            .sign(self._key, hashes.SHA256())
            .public_bytes(_PEM)
        )

    def issue(self, name: str = "localhost") -> Pair:
        """A new pair."""
        key = _new_key()
        names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._signed(name, key).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        encoded = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Pair(certificate.public_bytes(_PEM), encoded)

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@dataclass(frozen=True)
class PairFiles:
    """Where a pair lies, as a server is told of it."""

    certificate: Path
    key: Path

    def write(self, pair: Pair) -> None:
        """Put a pair there, in place of the one before. As whoever renews does: each file appears whole."""
        for path, content in ((self.certificate, pair.certificate), (self.key, pair.key)):
            new = path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_bytes(content)
            new.replace(path)


def pair_files(folder: Path, name: str, pair: Pair) -> PairFiles:
    """A pair in files of a folder."""
    files = PairFiles(folder / f"{name}.crt", folder / f"{name}.key")
    files.write(pair)
    return files
