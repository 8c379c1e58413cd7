"""BigQuery's adapter without credentials, for an address that stands in for the API's."""

from google.auth.credentials import AnonymousCredentials

from common.warehouse.bigquery import BigQueryWarehouse

LOCATION = "EU"


def connect(address: str, *, project: str = "stub-project", deadline_seconds: float = 15.0) -> BigQueryWarehouse:
    """A new adapter with connections of its own; `address` as `http://127.0.0.1:PORT`."""
    return BigQueryWarehouse(
        project=project,
        location=LOCATION,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        api_endpoint=address,
        deadline_seconds=deadline_seconds,
    )
