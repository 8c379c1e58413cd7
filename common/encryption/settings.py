"""Which Cloud KMS key encrypts secrets, and how it is reached. The variables that name the key are the original system's."""

import re
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from common.settings import PlaintextEndpoint, Settings

_KEY_NAME = re.compile(
    r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}", re.ASCII
)
_PARTS = {
    "kms_project_id": "KMS_PROJECT_ID",
    "kms_location": "KMS_LOCATION",
    "kms_keyring": "KMS_KEYRING",
    "kms_key": "KMS_KEY",
}


class KmsSettings(Settings):
    """The key, named either in full or in its four parts, and the limits of a call."""

    kms_project_id: str = Field("", validation_alias=_PARTS["kms_project_id"])
    """Project of the key ring."""
    kms_location: str = Field("", validation_alias=_PARTS["kms_location"])
    """Location of the key ring, for example `us-central1`."""
    kms_keyring: str = Field("", validation_alias=_PARTS["kms_keyring"])
    """The key ring."""
    kms_key: str = Field("", validation_alias=_PARTS["kms_key"])
    """The key in its ring."""
    kms_key_name: str = Field("", validation_alias="GCP_KMS_KEY_NAME", validate_default=True)
    """`projects/P/locations/L/keyRings/R/cryptoKeys/K`, unless the four parts name the key. Once read it is always set."""
    kms_max_bytes: int = Field(64 * 1024, ge=1, le=64 * 1024)
    """The most that is encrypted at once, in bytes of UTF-8, its context included. 8192 for a key in an HSM."""
    kms_timeout_seconds: float = Field(5.0, gt=0, le=60)
    """How long one encryption or decryption may take, its repetitions included, in seconds."""
    kms_endpoint: PlaintextEndpoint | None = None
    """`host:port` of a KMS emulator, spoken to without TLS and without Google credentials. Unset for Cloud KMS."""
    kms_token_file: Path | None = None
    """File, readable by its owner alone, with the token that the emulator wants."""

    @field_validator("kms_key_name")
    @classmethod
    def _one_name(cls, full_name: str, info: ValidationInfo) -> str:
        given = {variable: info.data.get(field, "") for field, variable in _PARTS.items()}
        missing = [variable for variable, value in given.items() if not value]
        if full_name and len(missing) < len(given):
            raise ValueError(f"name the key once: this or {', '.join(given)}, not both")
        if not full_name and missing:
            raise ValueError(f"the KMS key is not named: set this, or else also {', '.join(missing)}")
        name = full_name or "projects/{}/locations/{}/keyRings/{}/cryptoKeys/{}".format(*given.values())
        if not _KEY_NAME.fullmatch(name):
            raise ValueError("the KMS key's name must read projects/P/locations/L/keyRings/R/cryptoKeys/K")
        return name

    @field_validator("kms_token_file")
    @classmethod
    def _token_for_the_emulator_only(cls, token_file: Path | None, info: ValidationInfo) -> Path | None:
        if token_file and "kms_endpoint" in info.data and not info.data["kms_endpoint"]:
            raise ValueError("is for an emulator: set CONVERGENCE_KMS_ENDPOINT too")
        return token_file
