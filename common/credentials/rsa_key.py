"""RSA private keys in PEM, as callers give them. Loads the cryptography library, 8 MB of memory, with the first of them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

LEAST_BITS, MOST_BITS = 2048, 4096
MOST_CHARACTERS = 4096
"""Room for MOST_BITS, with some to spare."""
_PROBE = b"convergence"


class NotUsable(ValueError):
    """The text is no key that we would sign with. Says nothing of it, and has no cause that does."""


def read_rsa_key(pem: str) -> "RSAPrivateKey":
    """The key, once it has signed what its public half verifies. Raises NotUsable, also for one that needs a password.

    The library's own check of a key looks for its primes, holding up every other thread meanwhile: 0.1 s for 2048 bits, 8 s for 8192.
    A signature proves what is needed here, within milliseconds.
    """
    from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        if len(pem) > MOST_CHARACTERS:
            raise NotUsable
        key = load_pem_private_key(pem.encode(), password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, RSAPrivateKey) or not LEAST_BITS <= key.key_size <= MOST_BITS:
            raise NotUsable
        key.public_key().verify(key.sign(_PROBE, PKCS1v15(), SHA256()), _PROBE, PKCS1v15(), SHA256())
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError, InvalidSignature):
        raise NotUsable from None
    return key
