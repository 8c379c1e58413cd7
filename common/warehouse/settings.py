"""Settings of the warehouse that a service uses."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from common.settings import PlaintextEndpoint, Settings


class WarehouseSettings(Settings):
    """Which warehouse, and where."""

    warehouse: Literal["bigquery", "local"] = "bigquery"
    """`bigquery` in production, `local` for the embedded default."""
    project: str = Field(min_length=1)
    """The project whose datasets are the tenants'; for `local` the project name that the local server was started with."""
    location: str = "US"
    """Where BigQuery runs jobs, for example `US` or `europe-west1`; the onboarding template's `dataset.location` must agree."""
    bigquery_endpoint: PlaintextEndpoint | None = None
    """`host:port` of a BigQuery emulator, spoken to without TLS and without Google credentials. Unset for BigQuery."""
    warehouse_address: PlaintextEndpoint | None = None
    """`host:port` of the local warehouse server."""
    warehouse_token_file: Path | None = Field(None, validate_default=True)
    """File, readable by its owner alone, with the token that the local warehouse server wants."""

    @field_validator("warehouse_token_file")
    @classmethod
    def _local_is_complete(cls, token_file: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("warehouse") == "local" and not (info.data.get("warehouse_address") and token_file):
            raise ValueError(
                "the local warehouse needs CONVERGENCE_WAREHOUSE_ADDRESS and CONVERGENCE_WAREHOUSE_TOKEN_FILE"
            )
        return token_file
