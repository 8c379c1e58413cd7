"""The stub holds to BigQuery's own rules, so that the adapter cannot pass by luck. Asked through the official client alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import Conflict, GoogleAPICallError, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.stubs.bigquery import LOCATION, BigQueryStub

DAYS = "SELECT DATE '2025-11-15' AS day, 1 AS id UNION ALL SELECT DATE '2025-11-16', 2"


@pytest.fixture
def client(stub: BigQueryStub) -> Iterator[bigquery.Client]:
    made: Any = bigquery.Client(
        project=stub.project,
        location=LOCATION,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": stub.address},
    )
    made.create_dataset("acme")
    yield made
    made.close()


def finished(client: bigquery.Client, job: Any) -> Any:
    while job.state != "DONE":
        job = client.get_job(job.job_id)
    return job


def query(client: bigquery.Client, sql: str, into: str, *, partitioned: bool = True, job_id: str | None = None) -> Any:
    config = bigquery.QueryJobConfig(destination=f"{client.project}.acme.{into}", write_disposition="WRITE_TRUNCATE")
    if partitioned:
        config.time_partitioning = bigquery.TimePartitioning(field="day")
    return finished(client, client.query(sql, job_config=config, job_id=job_id, job_retry=None))


def copy(client: bigquery.Client, source: str, destination: str) -> Any:
    config = bigquery.CopyJobConfig(write_disposition="WRITE_TRUNCATE")
    name = f"{client.project}.acme."
    return finished(client, client.copy_table(name + source, name + destination, job_config=config))


def ids(client: bigquery.Client, table: str) -> list[int]:
    return sorted(row["id"] for row in client.list_rows(f"{client.project}.acme.{table}"))


def test_a_partition_is_copied_and_the_others_stay(client: bigquery.Client) -> None:
    query(client, DAYS, "stage")
    query(client, "SELECT DATE '2025-11-15' AS day, 7 AS id UNION ALL SELECT DATE '2025-11-17', 8", "costs")
    assert copy(client, "stage$20251115", "costs$20251115").error_result is None
    assert ids(client, "costs") == [1, 8]


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        ("stage$20251115", "flat$20251115", "invalid"),
        ("flat", "costs$20251115", "invalid"),
        ("stage$20251115", "costs$20251116", "invalid"),
        ("stage$20251120", "costs$20251120", "notFound"),
        ("stage$20251115", "missing$20251115", "notFound"),
        ("missing", "costs", "notFound"),
    ],
)
def test_a_copy_between_partitions_that_do_not_match_is_refused(
    client: bigquery.Client, source: str, destination: str, reason: str
) -> None:
    query(client, DAYS, "stage")
    query(client, "SELECT DATE '2025-11-15' AS day, 7 AS id", "costs")
    query(client, DAYS, "flat", partitioned=False)
    assert copy(client, source, destination).error_result["reason"] == reason
    assert ids(client, "costs") == [7]


def test_a_query_into_a_partition_takes_no_row_of_another_day(client: bigquery.Client) -> None:
    query(client, DAYS, "costs")
    assert query(client, DAYS, "costs$20251115").error_result["reason"] == "invalid"
    assert query(client, f"SELECT * FROM ({DAYS}) WHERE FALSE", "costs$20251115").error_result is None
    assert ids(client, "costs") == [2]


def test_a_query_does_not_change_how_a_table_is_partitioned(client: bigquery.Client) -> None:
    query(client, DAYS, "flat", partitioned=False)
    assert query(client, DAYS, "flat").error_result["reason"] == "invalid"


def test_deleting_a_partition_leaves_the_others(client: bigquery.Client) -> None:
    query(client, DAYS, "costs")
    client.delete_table(f"{client.project}.acme.costs$20251115")
    assert ids(client, "costs") == [2]


def test_a_failed_jobs_id_is_taken(client: bigquery.Client) -> None:
    assert query(client, "SELECT missing", "stage", job_id="failed").error_result["reason"] == "invalidQuery"
    with pytest.raises(Conflict):
        query(client, DAYS, "stage", job_id="failed")


def test_an_etag_guards_a_dataset(client: bigquery.Client) -> None:
    stale, current = client.get_dataset("acme"), client.get_dataset("acme")
    current.labels = {"state": "ready"}
    client.update_dataset(current, ["labels"])
    stale.labels = {"state": "stale"}
    with pytest.raises(PreconditionFailed):
        client.update_dataset(stale, ["labels"])


def test_an_etag_guards_a_table_and_changes_with_its_rows(client: bigquery.Client) -> None:
    query(client, DAYS, "costs")
    stale = client.get_table(f"{client.project}.acme.costs")
    finished(client, client.query("DELETE FROM acme.costs WHERE id = 1"))
    stale.schema = [*stale.schema, bigquery.SchemaField("note", "STRING")]
    with pytest.raises(PreconditionFailed):
        client.update_table(stale, ["schema"])


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema[:1],
        lambda schema: [*schema, bigquery.SchemaField("must", "STRING", mode="REQUIRED")],
        lambda schema: [*schema, bigquery.SchemaField("ID", "STRING")],
        lambda schema: [bigquery.SchemaField("day", "STRING"), *schema[1:]],
    ],
    ids=["one dropped", "one required", "one twice", "one of another type"],
)
def test_a_schema_only_grows_by_columns_that_may_be_empty(client: bigquery.Client, change: Any) -> None:
    query(client, DAYS, "costs")
    table = client.get_table(f"{client.project}.acme.costs")
    before = table.schema
    table.schema = change(before)
    with pytest.raises(GoogleAPICallError) as caught:
        client.update_table(table, ["schema"])
    assert caught.value.errors[0]["reason"] == "invalid"
    assert client.get_table(table.reference).schema == before


def test_a_byte_cap_stops_a_query_before_it_runs(client: bigquery.Client) -> None:
    query(client, DAYS, "costs")
    config = bigquery.QueryJobConfig(maximum_bytes_billed=1 << 20)
    job = finished(client, client.query("SELECT id FROM acme.costs", job_config=config))
    assert job.error_result["reason"] == "bytesBilledLimitExceeded"


def test_a_fault_is_answered_with_its_reason(stub: BigQueryStub, client: bigquery.Client) -> None:
    stub.faults.refuse("datasets.get", "quotaExceeded")
    with pytest.raises(GoogleAPICallError) as caught:
        client.get_dataset("acme")
    assert caught.value.errors[0]["reason"] == "quotaExceeded"
    assert client.get_dataset("acme").dataset_id == "acme"
