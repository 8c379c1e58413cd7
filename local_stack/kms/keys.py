"""Key rings, keys and the life of a key version, after https://cloud.google.com/kms/docs/key-states.

    ENABLED <-> DISABLED -> DESTROY_SCHEDULED -> (destroy_time) -> DESTROYED: the key material is gone

Every change is on disk before the method returns. Knows names and states; `crypto` does the encrypting, `servicer` speaks the API.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import grpc
import tink
from tink import aead, secret_key_access

from common.clock import Clock
from local_stack.kms.state import Key, KeyRing, State, StateFile, Version

_ID = r"[a-zA-Z0-9_-]{1,63}"
_KEY_RING = re.compile(rf"projects/[^/]+/locations/[^/]+/keyRings/{_ID}")
_KEY = re.compile(rf"({_KEY_RING.pattern})/cryptoKeys/{_ID}")
_VERSION = re.compile(rf"(?P<key>{_KEY.pattern})/cryptoKeyVersions/(?P<number>[1-9][0-9]{{0,8}})")

DESTROY_SCHEDULED_SECONDS = 30 * 24 * 3600
"""How long Cloud KMS keeps a version that was asked to be destroyed, unless its key says otherwise."""

aead.register()


class KmsError(Exception):
    """What a caller gets: a gRPC status and a sentence."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def parse_version(name: str) -> tuple[str, int]:
    """Split a CryptoKeyVersion's name into its key's name and its number. Raises KmsError for any other name."""
    match = _VERSION.fullmatch(name)
    if match is None:
        raise KmsError(grpc.StatusCode.INVALID_ARGUMENT, f"{name!r} does not name a CryptoKeyVersion")
    return match["key"], int(match["number"])


class Keys:
    """The keys of one emulator. Methods raise KmsError; a change that raises changes nothing."""

    def __init__(self, file: StateFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._state = file.load()

    def create_key_ring(self, name: str) -> KeyRing:
        """Create a key ring. ALREADY_EXISTS when there is one."""
        if not _KEY_RING.fullmatch(name):
            raise KmsError(grpc.StatusCode.INVALID_ARGUMENT, f"{name!r} does not name a KeyRing")
        with self._change() as state:
            if name in state.key_rings:
                raise KmsError(grpc.StatusCode.ALREADY_EXISTS, f"KeyRing {name} already exists")
            state.key_rings[name] = KeyRing(create_time=self._clock.now())
        return self.key_ring(name)

    def key_ring(self, name: str) -> KeyRing:
        """A key ring by its name."""
        if name not in self._state.key_rings:
            raise KmsError(grpc.StatusCode.NOT_FOUND, f"KeyRing {name} not found")
        return self._state.key_rings[name]

    def create_key(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        destroy_scheduled_seconds: int = DESTROY_SCHEDULED_SECONDS,
        with_version: bool = True,
    ) -> Key:
        """Create a key, by default with version 1 as its primary. NOT_FOUND without its key ring, ALREADY_EXISTS when there is one."""
        match = _KEY.fullmatch(name)
        if match is None:
            raise KmsError(grpc.StatusCode.INVALID_ARGUMENT, f"{name!r} does not name a CryptoKey")
        self.key_ring(match[1])
        with self._change() as state:
            if name in state.keys:
                raise KmsError(grpc.StatusCode.ALREADY_EXISTS, f"CryptoKey {name} already exists")
            key = Key(
                create_time=self._clock.now(),
                labels=dict(labels or {}),
                destroy_scheduled_seconds=destroy_scheduled_seconds,
            )
            if with_version:
                key.versions[1] = self._new_version()
                key.primary = 1
            state.keys[name] = key
        return self.key(name)

    def ensure_key(self, name: str) -> None:
        """Create the key and its key ring where they are missing."""
        match = _KEY.fullmatch(name)
        if match and match[1] not in self._state.key_rings:
            self.create_key_ring(match[1])
        if name not in self._state.keys:
            self.create_key(name)

    def key(self, name: str) -> Key:
        """A key by its name. Versions whose `destroy_time` has come are destroyed first."""
        if name not in self._state.keys:
            raise KmsError(grpc.StatusCode.NOT_FOUND, f"CryptoKey {name} not found")
        now = self._clock.now()
        due = [
            number
            for number, version in self._state.keys[name].versions.items()
            if version.state == "DESTROY_SCHEDULED" and version.destroy_time is not None and version.destroy_time <= now
        ]
        if due:
            with self._change() as state:
                for number in due:
                    version = state.keys[name].versions[number]
                    version.state, version.keyset, version.destroy_event_time = "DESTROYED", None, now
        return self._state.keys[name]

    def version(self, key_name: str, number: int) -> Version:
        """A version by its key's name and its number."""
        try:
            return self.key(key_name).versions[number]
        except KeyError:
            raise KmsError(grpc.StatusCode.NOT_FOUND, f"CryptoKeyVersion {number} of {key_name} not found") from None

    def enabled_keyset(self, key_name: str, number: int) -> str:
        """The key material of a version that may be used. FAILED_PRECONDITION in any state but ENABLED."""
        version = self.version(key_name, number)
        if version.state != "ENABLED" or version.keyset is None:
            raise KmsError(
                grpc.StatusCode.FAILED_PRECONDITION, f"CryptoKeyVersion {number} of {key_name} is {version.state}"
            )
        return version.keyset

    def create_version(self, key_name: str) -> int:
        """Add an enabled version and give its number; the primary stays as it is."""
        number = max(self.key(key_name).versions, default=0) + 1
        with self._change() as state:
            state.keys[key_name].versions[number] = self._new_version()
        return number

    def set_primary(self, key_name: str, number: int) -> None:
        """Let an enabled version encrypt from now on."""
        self.enabled_keyset(key_name, number)
        with self._change() as state:
            state.keys[key_name].primary = number

    def set_enabled(self, key_name: str, number: int, *, enabled: bool) -> None:
        """Enable or disable a version. FAILED_PRECONDITION for one that is destroyed or about to be."""
        if self.version(key_name, number).state not in ("ENABLED", "DISABLED"):
            raise KmsError(grpc.StatusCode.FAILED_PRECONDITION, "A version to be destroyed has no other state")
        with self._change() as state:
            state.keys[key_name].versions[number].state = "ENABLED" if enabled else "DISABLED"

    def destroy(self, key_name: str, number: int) -> None:
        """Schedule a version's destruction; it cannot be used from now on."""
        if self.version(key_name, number).state not in ("ENABLED", "DISABLED"):
            raise KmsError(grpc.StatusCode.FAILED_PRECONDITION, "The version is destroyed or about to be")
        with self._change() as state:
            key = state.keys[key_name]
            key.versions[number].state = "DESTROY_SCHEDULED"
            key.versions[number].destroy_time = self._clock.now() + timedelta(seconds=key.destroy_scheduled_seconds)
        self.key(key_name)

    def _new_version(self) -> Version:
        handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM_RAW)
        keyset = tink.json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
        return Version(state="ENABLED", create_time=self._clock.now(), keyset=keyset)

    @contextmanager
    def _change(self) -> Iterator[State]:
        """Yield a copy to change; it counts once it is on disk."""
        state = self._state.model_copy(deep=True)
        yield state
        self._file.save(state)
        self._state = state
