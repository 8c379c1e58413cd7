"""The kinds of credentials, and what is taken for one of each. No message repeats anything of what was given."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from common.credentials.service_account import KeyFileRefused, read_key_file
from common.fields import Fields
from common.secret import Secret

Kind = Literal["gcp_service_account", "openai_api_key", "aws_access_key", "generic_token"]

ROOM_FOR_CONTEXT = 1024
"""Bytes that are kept free for the context, which counts for the key management service's limit."""
_OPENAI = re.compile(r"sk-[!-~]+")
_TOKEN = re.compile(r"[!-~]+")
_AWS_ID = re.compile(r"[A-Z0-9]{16,128}")
_AWS_SECRET = re.compile(r"[A-Za-z0-9/+=]{40}")


@dataclass(frozen=True, slots=True)
class GivenCredential:
    """A credential as a caller gave it: its texts by the names of their fields, of which only an AWS key has more than the one that is
    named as its kind."""

    kind: Kind
    texts: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AcceptedCredential:
    """A credential that was checked: the text to encrypt, and whose it is, where that is no secret."""

    kind: Kind
    plaintext: Secret
    identity: str = ""


class Acceptance:
    """What this installation takes."""

    def __init__(self, *, token_uris: Collection[str], kms_max_bytes: int) -> None:
        self._token_uris = token_uris
        self.max_bytes = kms_max_bytes - ROOM_FOR_CONTEXT

    def check(self, fields: Fields, given: GivenCredential | None) -> AcceptedCredential | None:
        """Check a credential, noting every violation; what it returns counts only without any. It reads keys, which takes milliseconds."""
        if given is None:
            fields.violation("credential", "is required")
            return None
        path = "aws_access_key.secret_access_key" if given.kind == "aws_access_key" else given.kind
        text = given.texts.get(path, "")
        if len(text.encode()) > self.max_bytes:
            fields.violation(path, f"must be at most {self.max_bytes} bytes")
            return None
        match given.kind:
            case "gcp_service_account":
                return self._service_account(fields, text)
            case "openai_api_key":
                _require(fields, path, _OPENAI, text, "must be sk- and printable ASCII without spaces")
            case "generic_token":
                _require(fields, path, _TOKEN, text, "must be printable ASCII without spaces")
            case "aws_access_key":
                return _aws_access_key(fields, given.texts.get("aws_access_key.access_key_id", ""), text)
        return AcceptedCredential(given.kind, Secret(text))

    def _service_account(self, fields: Fields, text: str) -> AcceptedCredential | None:
        try:
            key = read_key_file(text, self._token_uris)
        except KeyFileRefused as refused:
            for violation in refused.violations:
                path = f"gcp_service_account.{violation.field}" if violation.field else "gcp_service_account"
                fields.violation(path, violation.description)
            return None
        return AcceptedCredential("gcp_service_account", Secret(text), key.client_email)


def _aws_access_key(fields: Fields, key_id: str, secret: str) -> AcceptedCredential:
    _require(fields, "aws_access_key.access_key_id", _AWS_ID, key_id, "must be 16 to 128 capital letters and digits")
    _require(
        fields,
        "aws_access_key.secret_access_key",
        _AWS_SECRET,
        secret,
        "must be 40 letters, digits, slashes and pluses",
    )
    plaintext = json.dumps({"access_key_id": key_id, "secret_access_key": secret})
    return AcceptedCredential("aws_access_key", Secret(plaintext), key_id)


def _require(fields: Fields, path: str, pattern: re.Pattern[str], text: str, description: str) -> None:
    if not pattern.fullmatch(text):
        fields.violation(path, description)
