"""The API google.cloud.kms.v1.KeyManagementService over `Keys`: unpack, call, pack.

What is not emulated is refused, never ignored: methods that are missing here answer UNIMPLEMENTED, and so do keys of other purposes
and rotation by schedule.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import grpc
from google.cloud.kms_v1 import types as kms

from local_stack.kms import crypto
from local_stack.kms.keys import DESTROY_SCHEDULED_SECONDS, Keys, KmsError, parse_version

SERVICE = "google.cloud.kms.v1.KeyManagementService"
_State = kms.CryptoKeyVersion.CryptoKeyVersionState
_Algorithm = kms.CryptoKeyVersion.CryptoKeyVersionAlgorithm


class Servicer:
    """One method for each RPC, named after it. Raises KmsError."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def encrypt(self, request: kms.EncryptRequest) -> kms.EncryptResponse:
        """Encrypt up to 64 KiB."""
        return crypto.encrypt(self._keys, request)

    def decrypt(self, request: kms.DecryptRequest) -> kms.DecryptResponse:
        """Decrypt what Encrypt gave."""
        return crypto.decrypt(self._keys, request)

    def create_key_ring(self, request: kms.CreateKeyRingRequest) -> kms.KeyRing:
        """Create a key ring."""
        name = f"{request.parent}/keyRings/{request.key_ring_id}"
        return kms.KeyRing(name=name, create_time=self._keys.create_key_ring(name).create_time)

    def get_key_ring(self, request: kms.GetKeyRingRequest) -> kms.KeyRing:
        """Read a key ring."""
        return kms.KeyRing(name=request.name, create_time=self._keys.key_ring(request.name).create_time)

    def create_crypto_key(self, request: kms.CreateCryptoKeyRequest) -> kms.CryptoKey:
        """Create a symmetric software key."""
        wanted = request.crypto_key
        _refuse_what_is_not_emulated(wanted)
        name = f"{request.parent}/cryptoKeys/{request.crypto_key_id}"
        # proto-plus gives a timedelta, or None where the field is absent.
        destroy_after = cast("timedelta | None", wanted.destroy_scheduled_duration)
        self._keys.create_key(
            name,
            labels=wanted.labels,
            destroy_scheduled_seconds=int(destroy_after.total_seconds())
            if destroy_after
            else DESTROY_SCHEDULED_SECONDS,
            with_version=not request.skip_initial_version_creation,
        )
        return self._crypto_key(name)

    def get_crypto_key(self, request: kms.GetCryptoKeyRequest) -> kms.CryptoKey:
        """Read a key and its primary version."""
        return self._crypto_key(request.name)

    def create_crypto_key_version(self, request: kms.CreateCryptoKeyVersionRequest) -> kms.CryptoKeyVersion:
        """Add a version, which encrypts only once it is made the primary."""
        return self._version(request.parent, self._keys.create_version(request.parent))

    def get_crypto_key_version(self, request: kms.GetCryptoKeyVersionRequest) -> kms.CryptoKeyVersion:
        """Read a version."""
        return self._version(*parse_version(request.name))

    def update_crypto_key_primary_version(self, request: kms.UpdateCryptoKeyPrimaryVersionRequest) -> kms.CryptoKey:
        """Choose the version that encrypts."""
        version = parse_version(f"{request.name}/cryptoKeyVersions/{request.crypto_key_version_id}")
        self._keys.set_primary(*version)
        return self._crypto_key(request.name)

    def update_crypto_key_version(self, request: kms.UpdateCryptoKeyVersionRequest) -> kms.CryptoKeyVersion:
        """Enable or disable a version."""
        wanted = request.crypto_key_version
        if list(request.update_mask.paths) != ["state"] or wanted.state not in (
            _State.ENABLED,
            _State.DISABLED,
        ):
            raise KmsError(grpc.StatusCode.INVALID_ARGUMENT, "Only state can be updated, to ENABLED or DISABLED")
        version = parse_version(wanted.name)
        self._keys.set_enabled(*version, enabled=wanted.state == _State.ENABLED)
        return self._version(*version)

    def destroy_crypto_key_version(self, request: kms.DestroyCryptoKeyVersionRequest) -> kms.CryptoKeyVersion:
        """Schedule a version's destruction."""
        version = parse_version(request.name)
        self._keys.destroy(*version)
        return self._version(*version)

    def _crypto_key(self, name: str) -> kms.CryptoKey:
        key = self._keys.key(name)
        return kms.CryptoKey(
            name=name,
            primary=None if key.primary is None else self._version(name, key.primary),
            purpose=kms.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT,
            create_time=key.create_time,
            version_template=kms.CryptoKeyVersionTemplate(
                protection_level=kms.ProtectionLevel.SOFTWARE, algorithm=_Algorithm.GOOGLE_SYMMETRIC_ENCRYPTION
            ),
            labels=key.labels,
            destroy_scheduled_duration=timedelta(seconds=key.destroy_scheduled_seconds),
        )

    def _version(self, key_name: str, number: int) -> kms.CryptoKeyVersion:
        version = self._keys.version(key_name, number)
        return kms.CryptoKeyVersion(
            name=f"{key_name}/cryptoKeyVersions/{number}",
            state=version.state,
            protection_level=kms.ProtectionLevel.SOFTWARE,
            algorithm=_Algorithm.GOOGLE_SYMMETRIC_ENCRYPTION,
            create_time=version.create_time,
            generate_time=version.create_time,
            destroy_time=version.destroy_time,
            destroy_event_time=version.destroy_event_time,
        )


def _refuse_what_is_not_emulated(key: kms.CryptoKey) -> None:
    template = key.version_template
    if key.purpose != kms.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT:
        raise KmsError(grpc.StatusCode.UNIMPLEMENTED, "Only keys of purpose ENCRYPT_DECRYPT are emulated")
    if template.algorithm not in (0, _Algorithm.GOOGLE_SYMMETRIC_ENCRYPTION):
        raise KmsError(grpc.StatusCode.UNIMPLEMENTED, "Only GOOGLE_SYMMETRIC_ENCRYPTION is emulated")
    if template.protection_level not in (0, kms.ProtectionLevel.SOFTWARE):
        raise KmsError(grpc.StatusCode.UNIMPLEMENTED, "Only protection level SOFTWARE is emulated")
    if key.rotation_period or key.next_rotation_time:
        raise KmsError(grpc.StatusCode.UNIMPLEMENTED, "Rotation by schedule is not emulated")


def methods(servicer: Servicer) -> dict[str, tuple[Callable[[Any], Any], Any, Any]]:
    """Every RPC by its name: the method, and the classes of its request and its response."""
    return {
        "Encrypt": (servicer.encrypt, kms.EncryptRequest, kms.EncryptResponse),
        "Decrypt": (servicer.decrypt, kms.DecryptRequest, kms.DecryptResponse),
        "CreateKeyRing": (servicer.create_key_ring, kms.CreateKeyRingRequest, kms.KeyRing),
        "GetKeyRing": (servicer.get_key_ring, kms.GetKeyRingRequest, kms.KeyRing),
        "CreateCryptoKey": (servicer.create_crypto_key, kms.CreateCryptoKeyRequest, kms.CryptoKey),
        "GetCryptoKey": (servicer.get_crypto_key, kms.GetCryptoKeyRequest, kms.CryptoKey),
        "CreateCryptoKeyVersion": (
            servicer.create_crypto_key_version,
            kms.CreateCryptoKeyVersionRequest,
            kms.CryptoKeyVersion,
        ),
        "GetCryptoKeyVersion": (servicer.get_crypto_key_version, kms.GetCryptoKeyVersionRequest, kms.CryptoKeyVersion),
        "UpdateCryptoKeyPrimaryVersion": (
            servicer.update_crypto_key_primary_version,
            kms.UpdateCryptoKeyPrimaryVersionRequest,
            kms.CryptoKey,
        ),
        "UpdateCryptoKeyVersion": (
            servicer.update_crypto_key_version,
            kms.UpdateCryptoKeyVersionRequest,
            kms.CryptoKeyVersion,
        ),
        "DestroyCryptoKeyVersion": (
            servicer.destroy_crypto_key_version,
            kms.DestroyCryptoKeyVersionRequest,
            kms.CryptoKeyVersion,
        ),
    }
