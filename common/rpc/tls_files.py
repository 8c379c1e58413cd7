"""Certificates and their private keys as they lie in files: read together, checked to fit, and read again once the files have changed."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog

from common.secret import read_secret_file

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the parts of one end of TLS lie, each in PEM; what is None it does without. A certificate has a key and a key a certificate."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class Tls:
    """What the files hold: parts that fit each other."""

    certificate: bytes | None
    key: bytes | None = field(repr=False)
    authorities: bytes | None


class RenewedTls:
    """What some files hold, for as long as their renewals hold together. Safe to use from many threads."""

    def __init__(self, files: TlsFiles) -> None:
        """Read them. Raises ValueError that names every file that cannot be read or does not fit."""
        self._files = files
        self._lock = threading.Lock()
        self._seen = _states(files)
        self._held = _read(files)

    def current(self) -> Tls:
        """The files' content as of now; the same object while they are the same. A renewal that does not hold together is logged once, and
        what was there before is kept."""
        with self._lock:
            states = _states(self._files)
            if states != self._seen:
                self._seen = states
                self._renew()
            return self._held

    def _renew(self) -> None:
        try:
            held = _read(self._files)
        except ValueError as error:
            _log.error("renewed TLS files do not hold together; those before are kept", problem=str(error))
            return
        if held != self._held:
            self._held = held
            _log.info("TLS files renewed", certificate=str(self._files.certificate))


def _states(files: TlsFiles) -> tuple[object, ...]:
    return tuple(_state(path) for path in (files.certificate, files.key, files.authorities))


def _state(path: Path | None) -> object:
    try:
        stat = path.stat() if path else None
    except OSError:
        return "away"
    return stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode)


def _read(files: TlsFiles) -> Tls:
    problems: list[str] = []

    def read(path: Path | None, content: Callable[[Path], T]) -> T | None:
        try:
            return content(path) if path else None
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
        except ValueError as error:  # said by us: never what is in a key
            problems.append(str(error))
        return None

    certificate = read(files.certificate, _certificates)
    key = read(files.key, _key)
    authorities = read(files.authorities, _certificates)
    if certificate and key and not _fit(certificate, key):
        problems.append(f"{files.key} is not the key of {files.certificate}")
    if problems:
        raise ValueError("; ".join(problems))
    return Tls(certificate, key, authorities)


# What knows certificates is 8 MB of memory, which a process that speaks plaintext goes without.


def _fit(certificate: bytes, key: bytes) -> bool:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    public = x509.load_pem_x509_certificates(certificate)[0].public_key()
    return bool(public == load_pem_private_key(key, password=None).public_key())


def _certificates(path: Path) -> bytes:
    from cryptography import x509  # noqa: PLC0415

    content = path.read_bytes()
    try:
        x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"{path} holds no certificate in PEM") from None
    return content


def _key(path: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    content = read_secret_file(path).reveal().encode()
    try:
        load_pem_private_key(content, password=None)
    except (ValueError, TypeError):  # TypeError: encrypted
        raise ValueError(f"{path} holds no private key in PEM that can be read without a password") from None
    return content
