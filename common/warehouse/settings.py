"""Which warehouse a service uses, and how to open it. An adapter is imported only when it is chosen: production has no pyarrow."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from common.secret import read_secret_file
from common.settings import PlaintextEndpoint, Settings
from common.warehouse.warehouse import Warehouse

_SCOPE = "https://www.googleapis.com/auth/bigquery"


class WarehouseSettings(Settings):
    """Which warehouse, and where."""

    warehouse: Literal["bigquery", "local"] = "bigquery"
    """`bigquery` in production, `local` for the embedded default."""
    project: str = Field(min_length=1)
    """The project whose datasets are the tenants'; for `local` the project name that the local server was started with."""
    location: str = "US"
    """Where BigQuery runs jobs and keeps new datasets, for example `US` or `europe-west1`."""
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


def open_warehouse(settings: WarehouseSettings) -> Warehouse:
    """The chosen adapter, not yet connected. Close it when done."""
    if settings.warehouse == "bigquery":
        return _open_bigquery(settings)
    from common.warehouse.local import LocalWarehouse  # noqa: PLC0415

    if settings.warehouse_address is None or settings.warehouse_token_file is None:
        raise ValueError("the local warehouse needs an address and a token")  # as the settings have checked
    token = read_secret_file(settings.warehouse_token_file)
    return LocalWarehouse(settings.warehouse_address, token, allow_plaintext=settings.allow_plaintext)


def _open_bigquery(settings: WarehouseSettings) -> Warehouse:
    import google.auth  # noqa: PLC0415
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415

    from common.warehouse.bigquery import BigQueryWarehouse  # noqa: PLC0415

    if settings.bigquery_endpoint is None:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        return BigQueryWarehouse(project=settings.project, location=settings.location, credentials=credentials)
    return BigQueryWarehouse(
        project=settings.project,
        location=settings.location,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        api_endpoint=f"http://{settings.bigquery_endpoint}",
    )
