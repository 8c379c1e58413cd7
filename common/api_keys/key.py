"""The shape of API keys: `{tenant_id}_api_{16 of A-Za-z0-9}` for tenants, `convergence_admin_{32 of A-Za-z0-9}` for admins."""

import secrets
import string

from common.ids import tenant_id_problem
from common.secret import Secret

_ALPHABET = string.ascii_letters + string.digits
_INFIX = "_api_"
_RANDOM_CHARACTERS = 16  # 95 bits
_ADMIN_PREFIX = "convergence_admin_"
_ADMIN_RANDOM_CHARACTERS = 32
DISPLAY_RANDOM_CHARACTERS = 4


def mint(tenant_id: str) -> Secret:
    """A new key of a tenant, from the operating system's randomness."""
    return Secret(f"{tenant_id}{_INFIX}{_random(_RANDOM_CHARACTERS)}")


def mint_admin() -> Secret:
    """A new admin key."""
    return Secret(_ADMIN_PREFIX + _random(_ADMIN_RANDOM_CHARACTERS))


def tenant_of_key(text: str) -> str | None:
    """The tenant that a key names; None for a text that is not shaped like a tenant's key.

    Parsed from the right, since a tenant id may itself hold `_api_`.
    """
    head, infix, random = (
        text[:-_RANDOM_CHARACTERS],
        text[-_RANDOM_CHARACTERS - len(_INFIX) : -_RANDOM_CHARACTERS],
        text[-_RANDOM_CHARACTERS:],
    )
    tenant_id = head.removesuffix(_INFIX)
    if infix != _INFIX or not _is_of_alphabet(random) or tenant_id_problem(tenant_id):
        return None
    return tenant_id


def is_admin_shaped(text: str) -> bool:
    """Whether a text is shaped like an admin key."""
    random = text.removeprefix(_ADMIN_PREFIX)
    return random != text and len(random) == _ADMIN_RANDOM_CHARACTERS and _is_of_alphabet(random)


def display_prefix(tenant_id: str, key: Secret) -> str:
    """The first characters of a key, to tell keys apart in a list: 4 of its 16 random characters."""
    return key.reveal()[: len(tenant_id) + len(_INFIX) + DISPLAY_RANDOM_CHARACTERS]


def _is_of_alphabet(text: str) -> bool:
    return text.isascii() and text.isalnum()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
