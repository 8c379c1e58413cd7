"""Which warehouse a service uses, and how to open it. An adapter is imported only when it is chosen: production has no pyarrow."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from common.secret import Secret
from common.settings import Settings
from common.warehouse.warehouse import Warehouse


class WarehouseSettings(Settings):
    """Which warehouse, and where."""

    warehouse: Literal["bigquery", "local"] = "bigquery"
    """`bigquery` in production, `local` for the embedded default."""
    project: str = Field(min_length=1)
    """The project whose datasets are the tenants'; for `local` the project name that the local server was started with."""
    location: str = "US"
    """Where BigQuery runs jobs and keeps new datasets, for example `US` or `europe-west1`."""
    warehouse_address: str = ""
    """`host:port` of the local warehouse server."""
    warehouse_token_file: Path | None = None
    """File with the token that the local warehouse server wants."""

    @model_validator(mode="after")
    def _local_is_complete(self) -> "WarehouseSettings":
        if self.warehouse == "local" and not (self.warehouse_address and self.warehouse_token_file):
            raise ValueError("warehouse=local needs warehouse_address and warehouse_token_file")
        return self


def open_warehouse(settings: WarehouseSettings, *, allow_plaintext: bool) -> Warehouse:
    """The chosen adapter, not yet connected. Close it when done."""
    if settings.warehouse == "bigquery":
        from common.warehouse.bigquery import BigQueryWarehouse  # noqa: PLC0415

        return BigQueryWarehouse(project=settings.project, location=settings.location)
    from common.warehouse.local import LocalWarehouse  # noqa: PLC0415

    if settings.warehouse_token_file is None:  # the validator has refused that
        raise ValueError("warehouse_token_file is missing")
    token = Secret(settings.warehouse_token_file.read_text().strip())
    return LocalWarehouse(settings.warehouse_address, token, allow_plaintext=allow_plaintext)
