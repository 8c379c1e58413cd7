"""The JSON key file of a Google service account, read without trusting a word of it: it says where its tokens are fetched."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from common.credentials.rsa_key import LEAST_BITS, MOST_BITS, NotUsable, read_rsa_key
from common.errors import Violation
from common.secret import Secret

_EMAIL = re.compile(r"[A-Za-z0-9._-]{1,128}@[a-z0-9.-]{1,192}\.gserviceaccount\.com", re.ASCII)
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_UNIVERSE = "googleapis.com"


@dataclass(frozen=True, slots=True)
class ServiceAccountKey:
    """What of a key file is used. `private_key` is a PEM; `private_key_id` empty where the file has none."""

    client_email: str
    private_key: Secret
    private_key_id: str
    token_uri: str


class KeyFileRefused(ValueError):
    """A key file that is not taken. `violations` are all there are, by the path in the file; none repeats anything of it."""

    def __init__(self, violations: Collection[Violation]) -> None:
        super().__init__("the key file is not taken")
        self.violations = tuple(violations)


def read_key_file(text: str, token_uris: Collection[str]) -> ServiceAccountKey:
    """Read a key file whose `token_uri` is one of `token_uris`. Raises KeyFileRefused.

    The fields: https://cloud.google.com/iam/docs/keys-create-delete#creating
    """
    found = _object(text)
    checks: Mapping[str, tuple[Callable[[str], bool], str]] = {
        "type": (lambda value: value == "service_account", "must be service_account"),
        "client_email": (_matches(_EMAIL), "must be the e-mail address of a service account"),
        "private_key": (
            _is_rsa_key,
            f"must be an RSA key of {LEAST_BITS} to {MOST_BITS} bits in PEM, without password",
        ),
        "private_key_id": (_matches(_KEY_ID), "must be up to 128 letters and digits"),
        "token_uri": (lambda value: value in token_uris, f"must be {' or '.join(token_uris)}"),
        "universe_domain": (lambda value: value == _UNIVERSE, f"must be {_UNIVERSE}"),
    }
    violations = [
        Violation(name, description)
        for name, (is_good, description) in checks.items()
        if not is_good(_text(found.get(name, _DEFAULTS.get(name))))
    ]
    if violations:
        raise KeyFileRefused(violations)
    return ServiceAccountKey(
        client_email=_text(found["client_email"]),
        private_key=Secret(_text(found["private_key"])),
        private_key_id=_text(found.get("private_key_id")),
        token_uri=_text(found["token_uri"]),
    )


_DEFAULTS = {"private_key_id": "none", "universe_domain": _UNIVERSE}
"""What stands for a field that may be left out, when it is checked."""


def _object(text: str) -> Mapping[str, object]:
    """The JSON object that the text is. A name that is there twice means different things to different readers."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise KeyFileRefused([Violation("", "has a name twice")])
        return found

    try:
        found = json.loads(text, object_pairs_hook=once)
    except KeyFileRefused:
        raise
    except (ValueError, RecursionError):  # not as the cause: it holds the text
        found = None
    if not isinstance(found, dict):
        raise KeyFileRefused([Violation("", "must be a JSON object")])
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value) is not None


def _is_rsa_key(pem: str) -> bool:
    try:
        read_rsa_key(pem)
    except NotUsable:
        return False
    return True
