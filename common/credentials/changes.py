"""Changes of `cloud_credentials`: each is one statement that does it whole or not at all, and holds no secret in clear."""

from dataclasses import dataclass, field

from common.clock import Clock
from common.credentials.kinds import Kind
from common.credentials.store import CREDENTIALS_TABLE, StoredCredential
from common.encryption.cipher import Encrypted
from common.warehouse.effects import Effects
from common.warehouse.statements import bound_values, column_names
from common.warehouse.warehouse import Parameter, Statement

_PLACE = "place_"
"""How the ids of rows begin that keep a name's place."""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What is stored of a credential, beside its number."""

    credential_id: str
    tenant_id: str
    name: str
    kind: Kind
    identity: str
    principal: str
    encrypted: Encrypted = field(repr=False)


class CredentialChanges:
    """Makes changes, each once under its effect id. One for the process. Raises Transient, Terminal; calling again is safe."""

    def __init__(self, effects: Effects, clock: Clock) -> None:
        self._effects = effects
        self._clock = clock

    async def put(self, act_id: str, new: NewVersion, *, after: StoredCredential | None) -> None:
        """Store the version after `after`, the last that was read of that name, and end that one. Changes nothing where `after` is not
        the last any more: whoever calls reads again which it is."""
        name_of_effect = f"{new.tenant_id}_{act_id}"
        if after is None:
            await self._effects.run(f"place_credential_{name_of_effect}", self._place(new))
        last_id, last_version = (after.credential_id, after.version) if after else (_place_id(new.name), 0)
        statement = self._replacement(new, last_id=last_id, version=last_version + 1)
        await self._effects.run(f"put_credential_{name_of_effect}_{last_version + 1}", statement)

    async def delete(self, act_id: str, credential: StoredCredential, *, ended_by: str) -> None:
        """End a credential, if it is live, and erase its ciphertext."""
        table = f"{credential.tenant_id}.{CREDENTIALS_TABLE}"
        statement = Statement(
            f"UPDATE `{table}` SET delete_time = @now, ended_by = @ended_by, ciphertext = @erased "
            "WHERE credential_id = @credential_id AND delete_time IS NULL",
            (
                Parameter("now", "TIMESTAMP", self._clock.now()),
                Parameter("ended_by", "STRING", ended_by),
                Parameter("erased", "BYTES", b""),
                Parameter("credential_id", "STRING", credential.credential_id),
            ),
        )
        effect_id = f"delete_credential_{credential.tenant_id}_{act_id}_{credential.credential_id}"
        await self._effects.run(effect_id, statement)

    def _place(self, new: NewVersion) -> Statement:
        """The statement that keeps a name's place before its first version. A MERGE that inserts and changes no row conflicts with nothing
        on BigQuery, so two first versions could come to be; with this row there is always one to change. It is no harm if there are more.
        """
        now = self._clock.now()
        columns = (
            Parameter("credential_id", "STRING", _place_id(new.name)),
            Parameter("tenant_id", "STRING", new.tenant_id),
            Parameter("name", "STRING", new.name),
            Parameter("kind", "STRING", new.kind),
            Parameter("version", "INT64", 0),
            Parameter("ciphertext", "BYTES", b""),
            Parameter("kms_key_version", "STRING", ""),
            Parameter("create_time", "TIMESTAMP", now),
            Parameter("delete_time", "TIMESTAMP", now),
        )
        table = f"{new.tenant_id}.{CREDENTIALS_TABLE}"
        return Statement(f"INSERT INTO `{table}` ({column_names(columns)}) VALUES ({bound_values(columns)})", columns)

    def _replacement(self, new: NewVersion, *, last_id: str, version: int) -> Statement:
        """The statement that ends one version and stores the next. It affects both rows, or none where that version is stored already."""
        columns = (
            Parameter("credential_id", "STRING", new.credential_id),
            Parameter("tenant_id", "STRING", new.tenant_id),
            Parameter("name", "STRING", new.name),
            Parameter("kind", "STRING", new.kind),
            Parameter("version", "INT64", version),
            Parameter("identity", "STRING", new.identity or None),
            Parameter("ciphertext", "BYTES", new.encrypted.ciphertext),
            Parameter("kms_key_version", "STRING", new.encrypted.key_version),
            Parameter("create_time", "TIMESTAMP", self._clock.now()),
            Parameter("create_principal", "STRING", new.principal),
        )
        table = f"{new.tenant_id}.{CREDENTIALS_TABLE}"
        return Statement(
            f"MERGE `{table}` AS stored USING (SELECT changed.credential_id "
            "FROM (SELECT @last_id AS credential_id UNION ALL SELECT @credential_id AS credential_id) AS changed "
            f"WHERE NOT EXISTS (SELECT 1 FROM `{table}` AS later WHERE later.name = @name AND later.version >= @version)"
            ") AS change ON stored.credential_id = change.credential_id "
            "WHEN MATCHED THEN UPDATE SET delete_time = COALESCE(stored.delete_time, @create_time), "
            "ended_by = COALESCE(stored.ended_by, @credential_id), ciphertext = @erased "
            f"WHEN NOT MATCHED THEN INSERT ({column_names(columns)}) VALUES ({bound_values(columns)})",
            (*columns, Parameter("last_id", "STRING", last_id), Parameter("erased", "BYTES", b"")),
        )


def _place_id(name: str) -> str:
    return f"{_PLACE}{name}"
