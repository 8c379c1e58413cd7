"""Opens the warehouse that the settings choose. An adapter is imported only then: a production install has no pyarrow."""

from common.credentials.accounts import AccountWarehouses
from common.secret import read_secret_file
from common.telemetry.telemetry import Telemetry
from common.warehouse.settings import WarehouseSettings
from common.warehouse.traced import TracedAccounts, TracedWarehouse
from common.warehouse.warehouse import Warehouse
from common.warehouse.warehouse_telemetry import WarehouseTelemetry


def traced(warehouse: Warehouse, settings: WarehouseSettings, telemetry: Telemetry | None) -> Warehouse:
    """The same warehouse, whose calls are told where there is somebody to tell."""
    return (
        warehouse
        if telemetry is None
        else TracedWarehouse(warehouse, WarehouseTelemetry(telemetry, settings.warehouse))
    )


def open_warehouse(settings: WarehouseSettings) -> Warehouse:
    """The chosen adapter, not yet connected. Close it when done."""
    if settings.warehouse == "bigquery":
        return _open_bigquery(settings)
    from common.warehouse.local import LocalWarehouse  # noqa: PLC0415

    if settings.warehouse_address is None or settings.warehouse_token_file is None:
        raise ValueError("the local warehouse needs an address and a token")  # as the settings have checked
    token = read_secret_file(settings.warehouse_token_file)
    return LocalWarehouse(settings.warehouse_address, token, allow_plaintext=settings.allow_plaintext)


def open_accounts(settings: WarehouseSettings, telemetry: Telemetry | None = None) -> AccountWarehouses | None:
    """The chosen warehouse as other accounts than our own, told as `traced` is; None for the local one, which knows none."""
    if settings.warehouse != "bigquery":
        return None
    from common.warehouse.bigquery_accounts import BigQueryAccounts  # noqa: PLC0415

    accounts = BigQueryAccounts(
        project=settings.project, location=settings.location, api_endpoint=_api_endpoint(settings)
    )
    return (
        accounts if telemetry is None else TracedAccounts(accounts, WarehouseTelemetry(telemetry, settings.warehouse))
    )


def _open_bigquery(settings: WarehouseSettings) -> Warehouse:
    import google.auth  # noqa: PLC0415
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415

    from common.warehouse.bigquery import SCOPE, BigQueryWarehouse  # noqa: PLC0415

    endpoint = _api_endpoint(settings)
    if endpoint is None:
        credentials, _ = google.auth.default(scopes=[SCOPE])
        return BigQueryWarehouse(project=settings.project, location=settings.location, credentials=credentials)
    return BigQueryWarehouse(
        project=settings.project,
        location=settings.location,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        api_endpoint=endpoint,
    )


def _api_endpoint(settings: WarehouseSettings) -> str | None:
    return f"http://{settings.bigquery_endpoint}" if settings.bigquery_endpoint else None
