"""The table `cloud_credentials` of each tenant."""

from common.encryption.cipher import Context

CREDENTIALS_TABLE = "cloud_credentials"
_PURPOSE = "credential"


def credential_context(tenant_id: str, credential_id: str) -> Context:
    """What a credential's ciphertext is bound to: it decrypts for no other tenant, no other row and no other version."""
    return Context(tenant_id=tenant_id, table=CREDENTIALS_TABLE, row_id=credential_id, purpose=_PURPOSE)
