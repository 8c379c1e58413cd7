"""Encrypt and Decrypt: AES-256-GCM through Tink, the limits and checksums of Cloud KMS.

A ciphertext is opaque to callers. Here it is

    | version of the key: 4 bytes, big endian | Tink AES-GCM without prefix: 12 bytes nonce, ciphertext, 16 bytes tag |

A changed version number leads to another key, under which the tag does not hold, or to none.
"""

import google_crc32c
import grpc
import tink
from google.cloud.kms_v1.types import DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, ProtectionLevel
from tink import aead, secret_key_access

from local_stack.kms.keys import Keys, KmsError, parse_version

MAX_BYTES = 64 * 1024
"""The most that a software key takes, of plaintext and of additional data each.
https://cloud.google.com/kms/docs/reference/rpc/google.cloud.kms.v1#encryptrequest"""
_VERSION_BYTES = 4


def encrypt(keys: Keys, request: EncryptRequest) -> EncryptResponse:
    """Encrypt under the primary version of a key, or under the version that `name` names."""
    if "/cryptoKeyVersions/" in request.name:
        key_name, number = parse_version(request.name)
    else:
        key_name, primary = request.name, keys.key(request.name).primary
        if primary is None:
            raise KmsError(grpc.StatusCode.FAILED_PRECONDITION, f"CryptoKey {key_name} has no primary version")
        number = primary
    plaintext, additional = request.plaintext, request.additional_authenticated_data
    _check_size("plaintext", plaintext)
    _check_size("additional_authenticated_data", additional)
    verified_plaintext = _checked("plaintext", plaintext, request.plaintext_crc32c)
    verified_additional = _checked(
        "additional_authenticated_data", additional, request.additional_authenticated_data_crc32c
    )
    sealed = _aead(keys.enabled_keyset(key_name, number)).encrypt(plaintext, additional)
    ciphertext = number.to_bytes(_VERSION_BYTES, "big") + sealed
    return EncryptResponse(
        name=f"{key_name}/cryptoKeyVersions/{number}",
        ciphertext=ciphertext,
        ciphertext_crc32c=google_crc32c.value(ciphertext),
        verified_plaintext_crc32c=verified_plaintext,
        verified_additional_authenticated_data_crc32c=verified_additional,
        protection_level=ProtectionLevel.SOFTWARE,
    )


def decrypt(keys: Keys, request: DecryptRequest) -> DecryptResponse:
    """Decrypt with the version that encrypted. One text for every ciphertext that does not hold, whatever is wrong with it."""
    additional = request.additional_authenticated_data
    _check_size("additional_authenticated_data", additional)
    _checked("ciphertext", request.ciphertext, request.ciphertext_crc32c)
    _checked("additional_authenticated_data", additional, request.additional_authenticated_data_crc32c)
    invalid = KmsError(grpc.StatusCode.INVALID_ARGUMENT, "Decryption failed: the ciphertext is invalid")
    key = keys.key(request.name)
    number = int.from_bytes(request.ciphertext[:_VERSION_BYTES], "big")
    if number not in key.versions:
        raise invalid
    try:
        plaintext = _aead(keys.enabled_keyset(request.name, number)).decrypt(
            request.ciphertext[_VERSION_BYTES:], additional
        )
    except tink.TinkError:
        raise invalid from None
    return DecryptResponse(
        plaintext=plaintext,
        plaintext_crc32c=google_crc32c.value(plaintext),
        used_primary=number == key.primary,
        protection_level=ProtectionLevel.SOFTWARE,
    )


def _aead(keyset: str) -> aead.Aead:
    handle = tink.json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
    return handle.primitive(aead.Aead)


def _check_size(field: str, data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise KmsError(grpc.StatusCode.INVALID_ARGUMENT, f"{field} is larger than {MAX_BYTES} bytes")


def _checked(field: str, data: bytes, claimed: object) -> bool:
    """Whether the caller sent a checksum, an int or None. INVALID_ARGUMENT when it is not that of the data."""
    if claimed is not None and claimed != google_crc32c.value(data):
        raise KmsError(grpc.StatusCode.INVALID_ARGUMENT, f"{field}_crc32c does not match {field}")
    return claimed is not None
