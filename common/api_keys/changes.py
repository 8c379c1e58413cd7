"""Changes of `api_keys`: each is one statement that does it whole or not at all, and holds no key in clear."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from common.api_keys.hashing import ALGORITHM, digest_of
from common.api_keys.key import display_prefix
from common.api_keys.store import KEYS_TABLE
from common.clock import Clock
from common.encryption.cipher import Encrypted
from common.secret import Secret
from common.warehouse.effects import Effects
from common.warehouse.statements import bound_values, column_names
from common.warehouse.warehouse import Parameter, Statement


@dataclass(frozen=True, slots=True)
class EncryptedKey:
    """What of a new key is stored: enough to know it by, and to read it back with the key management service."""

    key_id: str
    digest: str
    display_prefix: str
    encrypted: Encrypted = field(repr=False)

    @classmethod
    def of(cls, tenant_id: str, key_id: str, key: Secret, encrypted: Encrypted) -> "EncryptedKey":
        """Of a key, and of what it was encrypted to for the row `key_id`."""
        return cls(key_id, digest_of(key), display_prefix(tenant_id, key), encrypted)

    def parameters(self, tenant_id: str) -> tuple[Parameter, ...]:
        """Its columns."""
        return (
            Parameter("key_id", "STRING", self.key_id),
            Parameter("tenant_id", "STRING", tenant_id),
            Parameter("display_prefix", "STRING", self.display_prefix),
            Parameter("key_hash", "STRING", self.digest),
            Parameter("hash_algorithm", "STRING", ALGORITHM),
            Parameter("ciphertext", "BYTES", self.encrypted.ciphertext),
            Parameter("kms_key_version", "STRING", self.encrypted.key_version),
        )


@dataclass(frozen=True, slots=True)
class KeySpec:
    """What a new key is to be: a name for people, what it may do, and from when on it is refused (None for never)."""

    display_name: str
    scopes: Sequence[str]
    expire_time: datetime | None = None


class KeyChanges:
    """Makes changes, each once under its effect id, and tells of each. One for the process. Raises Transient, Terminal; calling again is
    safe."""

    def __init__(self, effects: Effects, clock: Clock, keys_changed: Callable[[str], None]) -> None:
        """`keys_changed` is told the tenant whose keys have just changed."""
        self._effects = effects
        self._clock = clock
        self._keys_changed = keys_changed

    async def insert(self, effect_id: str, tenant_id: str, key: EncryptedKey, spec: KeySpec, *, principal: str) -> None:
        """Add a key."""
        now = self._clock.now()
        await self._run(
            effect_id, tenant_id, insert_key_statement(tenant_id, key, spec, create_time=now, principal=principal)
        )

    async def rotate(
        self, effect_id: str, tenant_id: str, old_key_id: str, new: EncryptedKey, *, grace: timedelta, principal: str
    ) -> bool:
        """Put `new` in the place of a key, which works for `grace` at most from now. False where it was not active any more: then nothing
        is changed."""
        now = self._clock.now()
        statement = rotate_key_statement(
            tenant_id, old_key_id, new, now=now, grace_end=now + grace, principal=principal
        )
        return await self._run(effect_id, tenant_id, statement) > 0

    async def revoke(self, effect_id: str, tenant_id: str, key_id: str | None) -> None:
        """Revoke one key, or all for None."""
        await self._run(effect_id, tenant_id, revoke_keys_statement(tenant_id, key_id, now=self._clock.now()))

    async def _run(self, effect_id: str, tenant_id: str, statement: Statement) -> int:
        result = await self._effects.run(effect_id, statement)
        self._keys_changed(tenant_id)
        return result.rows


def insert_key_statement(
    tenant_id: str, key: EncryptedKey, spec: KeySpec, *, create_time: datetime, principal: str
) -> Statement:
    """The statement that adds a key. An INSERT conflicts with nothing on BigQuery: run it under a job id that cannot run twice."""
    parameters = (
        *key.parameters(tenant_id),
        Parameter("display_name", "STRING", spec.display_name),
        Parameter("scopes", "STRING", tuple(sorted(spec.scopes)), array=True),
        Parameter("expire_time", "TIMESTAMP", spec.expire_time),
        Parameter("create_time", "TIMESTAMP", create_time),
        Parameter("create_principal", "STRING", principal),
    )
    return Statement(
        f"INSERT INTO `{tenant_id}.{KEYS_TABLE}` ({column_names(parameters)}) VALUES ({bound_values(parameters)})",
        parameters,
    )


def rotate_key_statement(
    tenant_id: str, old_key_id: str, new: EncryptedKey, *, now: datetime, grace_end: datetime, principal: str
) -> Statement:
    """The statement that puts a key in another's place: with its name, scopes and expiry, which the old key keeps until `grace_end` at
    most. It affects two rows, or none where the old key is not live or is superseded: of any number of rotations one affects any.
    """
    given = (
        *new.parameters(tenant_id),
        Parameter("create_time", "TIMESTAMP", now),
        Parameter("create_principal", "STRING", principal),
    )
    inherited = ("display_name", "scopes", "expire_time")
    return Statement(
        f"MERGE `{tenant_id}.{KEYS_TABLE}` AS stored "
        f"USING (SELECT changed.key_id, {', '.join(f'old.{name}' for name in inherited)} "
        f"FROM `{tenant_id}.{KEYS_TABLE}` AS old "
        "CROSS JOIN (SELECT @old_key_id AS key_id UNION ALL SELECT @key_id AS key_id) AS changed "
        "WHERE old.key_id = @old_key_id AND old.revoke_time IS NULL AND old.supersede_time IS NULL "
        "AND (old.expire_time IS NULL OR old.expire_time > @create_time)) AS change "
        "ON stored.key_id = change.key_id "
        "WHEN MATCHED THEN UPDATE SET supersede_time = @create_time, superseded_by = @key_id, "
        "expire_time = LEAST(COALESCE(change.expire_time, @grace_end), @grace_end) "
        f"WHEN NOT MATCHED THEN INSERT ({column_names(given)}, {', '.join(inherited)}) "
        f"VALUES ({bound_values(given)}, {', '.join(f'change.{name}' for name in inherited)})",
        (*given, Parameter("old_key_id", "STRING", old_key_id), Parameter("grace_end", "TIMESTAMP", grace_end)),
    )


def revoke_keys_statement(tenant_id: str, key_id: str | None, *, now: datetime) -> Statement:
    """The statement that revokes one key, or all for None. Those that were revoked before keep their time."""
    chosen, parameters = (
        ("", ()) if key_id is None else ("AND key_id = @key_id", (Parameter("key_id", "STRING", key_id),))
    )
    return Statement(
        f"UPDATE `{tenant_id}.{KEYS_TABLE}` SET revoke_time = @now WHERE revoke_time IS NULL {chosen}",
        (Parameter("now", "TIMESTAMP", now), *parameters),
    )
