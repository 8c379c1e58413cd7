"""Settings of cloud credentials, for both services: one refuses what the other would not use."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from common.settings import CommaSeparated, Settings, is_loopback

GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - a place, and no token
"""What Google writes into the key files that it makes."""


def _trustworthy(uris: tuple[str, ...]) -> tuple[str, ...]:
    if not uris:
        raise ValueError("must name at least one")
    for uri in uris:
        parts = urlsplit(uri)
        if not (parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.netloc)))):
            raise ValueError("each must be an https:// address, or an http:// one on the loopback address")
    return uris


class CredentialSettings(Settings):
    """Which credentials are taken and used."""

    credential_token_uris: Annotated[CommaSeparated, AfterValidator(_trustworthy)] = (GOOGLE_TOKEN_URI,)
    """The only places, `a,b,c`, that a service account's key may name for its tokens. Compared as they stand, character by character."""
