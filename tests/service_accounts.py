"""Key files of service accounts that exist nowhere."""

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from common.credentials.settings import GOOGLE_TOKEN_URI

EMAIL = "robot@customer-project.iam.gserviceaccount.com"


def pem(key: Any, password: str = "") -> str:
    """A private key as key files hold it, under a password where there is one."""
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return text.decode()


@cache
def rsa_key(bits: int = 2048, number: int = 1) -> rsa.RSAPrivateKey:
    """A key, the same for the same `bits` and `number`: making one takes a while."""
    return rsa.generate_private_key(65537, bits)


def key_file(**changes: Any) -> str:
    """A key file that is taken, but for these changes; a field that is None is left out."""
    fields = {
        "type": "service_account",
        "project_id": "customer-project",
        "private_key_id": "0123456789abcdef0123456789abcdef01234567",
        "private_key": pem(rsa_key()),
        "client_email": EMAIL,
        "client_id": "123456789012345678901",
        "token_uri": GOOGLE_TOKEN_URI,
        "universe_domain": "googleapis.com",
        **changes,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def secrets_of(key: Any) -> tuple[str, ...]:
    """What of a private key must be nowhere: its lines as they stand in the PEM. A line end may be written in several ways."""
    return tuple(line for line in pem(key).splitlines() if not line.startswith("-----"))
