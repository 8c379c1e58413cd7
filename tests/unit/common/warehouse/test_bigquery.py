"""What only BigQuery's adapter has to get right: faults, lost answers, labels that carry what a waiter needs, no needless jobs."""

import asyncio
import socket
import time
from datetime import UTC, date, datetime, timedelta

import pytest
import requests

from common.errors import JobAborted, ObjectExists, ObjectNotFound, PreconditionLost, Terminal, Transient
from common.warehouse.bigquery import BigQueryWarehouse
from common.warehouse.bigquery_merge import merge_sql
from common.warehouse.warehouse import Destination, Job, MergeJob, QueryJob, ReplaceJob, Statement, TableRef
from tests.stubs.bigquery import LOCATION, BigQueryStub, connect
from tests.stubs.bigquery.execution import LEAST_BYTES
from tests.unit.common.warehouse.conftest import DATASET, TABLE

INSERT = Statement(f"INSERT INTO `{TABLE}` (id) VALUES (1)")
DAY = date(2025, 11, 15)


async def finish(warehouse: BigQueryWarehouse, job: Job) -> int:
    await warehouse.submit(job)
    return (await warehouse.wait(job.job_id, timeout_seconds=20)).rows


async def stage(warehouse: BigQueryWarehouse, name: str, sql: str) -> TableRef:
    ref = TableRef(DATASET, name)
    await finish(warehouse, QueryJob(f"{name}-staged", Statement(sql), Destination(ref, "day")))
    return ref


async def test_listing_rows_runs_no_job(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    await warehouse.list_rows(TABLE)
    assert stub.requests == ["tables.get", "tabledata.list"]


async def test_a_view_is_listed_and_deleted_like_a_table(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    view = TableRef(DATASET, "a_view")
    body = {"tableReference": {"tableId": view.table}, "view": {"query": f"SELECT id FROM `{TABLE}`"}}
    url = f"{stub.address}/bigquery/v2/projects/{stub.project}/datasets/{DATASET}/tables"
    await asyncio.to_thread(lambda: requests.post(url, json=body, timeout=10).raise_for_status())
    assert set(await warehouse.list_tables(DATASET)) == {TABLE, view}
    await warehouse.delete_table(view)
    assert list(await warehouse.list_tables(DATASET)) == [TABLE]
    assert stub.requests[1:] == ["tables.list", "tables.delete", "tables.list"], "no job, nothing billed"


async def test_a_passing_fault_is_ridden_out_within_one_call(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.refuse("datasets.get", "backendError", times=2)
    assert (await warehouse.get_dataset(DATASET)).dataset_id == DATASET
    assert len(stub.requests) == 3


async def test_a_fault_that_stays_is_transient_within_the_deadline(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    stub.faults.refuse("datasets.get", "rateLimitExceeded", times=1000)
    start = time.monotonic()
    with pytest.raises(Transient):
        await warehouse.get_dataset(DATASET)
    assert time.monotonic() - start < 4.5


@pytest.mark.parametrize(("reason", "kind"), [("quotaExceeded", Transient), ("accessDenied", Terminal)])
async def test_what_does_not_pass_in_seconds_is_not_asked_again(
    stub: BigQueryStub, warehouse: BigQueryWarehouse, reason: str, kind: type[Exception]
) -> None:
    stub.faults.refuse("datasets.get", reason, times=1000)
    with pytest.raises(kind):
        await warehouse.get_dataset(DATASET)
    assert stub.requests == ["datasets.get"]


async def test_a_server_that_never_answers_is_transient_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        warehouse = connect(f"http://127.0.0.1:{silent.getsockname()[1]}", deadline_seconds=0.5)
        start = time.monotonic()
        with pytest.raises(Transient):
            await warehouse.get_dataset(DATASET)
        assert time.monotonic() - start < 2
        await warehouse.close()


async def test_a_submission_whose_answer_was_lost_runs_once(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.lose_answer("jobs.insert")
    with pytest.raises(ObjectExists):  # The client asked again, and found its own job.
        await warehouse.submit(QueryJob("lost-answer", INSERT))
    assert (await warehouse.wait("lost-answer", timeout_seconds=20)).rows == 1
    assert await warehouse.list_rows(TABLE) == [{"id": 1}]


async def test_a_job_that_vanished_is_not_found(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.lose_job("vanishing")
    await warehouse.submit(QueryJob("vanishing", INSERT))
    with pytest.raises(ObjectNotFound):
        await warehouse.wait("vanishing", timeout_seconds=20)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("backendError", JobAborted),
        ("jobRateLimitExceeded", JobAborted),
        ("resourcesExceeded", JobAborted),
        ("invalidQuery", JobAborted),
        ("accessDenied", Terminal),
        ("stopped", Terminal),
    ],
)
async def test_a_failed_change_says_whether_another_attempt_may_help(
    stub: BigQueryStub, warehouse: BigQueryWarehouse, reason: str, kind: type[Exception]
) -> None:
    stub.faults.fail_job("failing", reason)
    with pytest.raises(kind) as caught:
        await finish(warehouse, QueryJob("failing", INSERT))
    assert type(caught.value) is kind
    assert await warehouse.list_rows(TABLE) == []


@pytest.mark.parametrize(
    ("reason", "billed"), [("stopped", LEAST_BYTES), ("timeout", LEAST_BYTES), ("invalidQuery", 0)]
)
async def test_a_query_that_was_cut_off_tells_what_it_billed_and_one_that_failed_billed_nothing(
    stub: BigQueryStub, warehouse: BigQueryWarehouse, reason: str, billed: int
) -> None:
    stub.faults.fail_job("cut", reason)
    with pytest.raises(Terminal) as caught:
        await finish(warehouse, QueryJob("cut", Statement(f"SELECT * FROM `{TABLE}`")))
    assert caught.value.bytes_billed == billed


async def test_waiting_outlasts_a_job_that_stays_running_for_a_while(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    stub.faults.hold_job("held", polls=4)
    assert await finish(warehouse, QueryJob("held", INSERT)) == 1
    assert stub.requests.count("jobs.get") > 3


async def test_whoever_waits_gives_the_staged_rows_their_expiration(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    staged, expire_time = TableRef(DATASET, "_stage"), datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    job = QueryJob("staging", Statement("SELECT 1 AS id"), Destination(staged, expire_time=expire_time))
    await warehouse.submit(job)
    other = connect(stub.address)
    assert (await other.wait("staging", timeout_seconds=20)).rows == 1
    await other.close()
    assert (await warehouse.get_table(staged)).expire_time == expire_time


async def test_a_refused_replacement_leaves_its_id_unused(warehouse: BigQueryWarehouse) -> None:
    stray = await stage(warehouse, "_stage_stray", "SELECT DATE '2025-11-16' AS day")
    with pytest.raises(Terminal):
        await warehouse.submit(ReplaceJob("publish", stray, TableRef(DATASET, "costs"), DAY))
    good = await stage(warehouse, "_stage_good", "SELECT DATE '2025-11-15' AS day")
    assert await finish(warehouse, ReplaceJob("publish", good, TableRef(DATASET, "costs"), DAY)) == 1


async def test_a_replacement_that_died_before_its_copy_is_submitted_again(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    staged = await stage(warehouse, "_stage", "SELECT DATE '2025-11-15' AS day")
    replacement = ReplaceJob("publish", staged, TableRef(DATASET, "costs"), DAY)
    stub.faults.refuse("tables.insert", "quotaExceeded")
    with pytest.raises(Transient):
        await warehouse.submit(replacement)
    assert await finish(warehouse, replacement) == 1


@pytest.mark.parametrize("fault", ["fail_job", "lose_job"])
async def test_a_check_that_fails_in_passing_does_not_use_up_the_attempt(
    stub: BigQueryStub, warehouse: BigQueryWarehouse, fault: str
) -> None:
    staged = await stage(warehouse, "_stage", "SELECT DATE '2025-11-15' AS day")
    replacement = ReplaceJob("publish", staged, TableRef(DATASET, "costs"), DAY)
    if fault == "fail_job":
        stub.faults.fail_job("publish-rows", "backendError")
    else:
        stub.faults.lose_job("publish-rows")
    with pytest.raises(Transient) as caught:
        await warehouse.submit(replacement)
    assert not isinstance(caught.value, JobAborted)
    assert await finish(warehouse, replacement) == 1


async def test_a_listed_dataset_cannot_be_labelled(warehouse: BigQueryWarehouse) -> None:
    created = await warehouse.create_dataset("listed", location=LOCATION, labels={"convergence": "ready"})
    (listed,) = await warehouse.list_datasets(label="convergence")
    with pytest.raises(PreconditionLost):
        await warehouse.set_labels(listed, {"convergence": "deleted"})
    assert await warehouse.get_dataset("listed") == created


async def test_a_reader_that_is_cancelled_cancels_its_job(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.refuse("jobs.get", "rateLimitExceeded", times=1000)
    reading = asyncio.create_task(warehouse.read(Statement("SELECT 1 AS id")))
    async with asyncio.timeout(20):
        while "jobs.get" not in stub.requests:  # noqa: ASYNC110 - its threads know no event loop
            await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert "jobs.cancel" in stub.requests


async def test_datasets_are_listed_over_all_pages(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    names = {f"tenant_{n:03}" for n in range(60)}
    await asyncio.gather(
        *(warehouse.create_dataset(n, location=LOCATION, labels={"convergence": "ready"}) for n in names)
    )
    stub.requests.clear()
    assert {found.dataset_id for found in await warehouse.list_datasets(label="convergence")} == names
    assert stub.requests == ["datasets.list", "datasets.list"]


async def test_the_first_rows_that_are_merged_are_copied_and_who_comes_second_tries_again(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    """Two MERGEs that insert the same key do not conflict on BigQuery; of two copies into an empty table one succeeds."""
    published = TableRef(DATASET, "merged")
    one = await stage(warehouse, "_stage_one", "SELECT DATE '2025-11-15' AS day, 1 AS id")
    two = await stage(warehouse, "_stage_two", "SELECT DATE '2025-11-15' AS day, 2 AS id")
    stub.faults.hold_job("first", polls=1)  # accepted, and not begun before it is waited for
    stub.faults.hold_job("second", polls=1)
    await warehouse.submit(MergeJob("first", one, published, ("id",)))
    await warehouse.submit(MergeJob("second", two, published, ("id",)))
    assert (await warehouse.wait("first", timeout_seconds=20)).rows == 1
    with pytest.raises(JobAborted):
        await warehouse.wait("second", timeout_seconds=20)
    assert await finish(warehouse, MergeJob("second-2", two, published, ("id",))) == 1
    assert sorted(str(row["id"]) for row in await warehouse.list_rows(published)) == ["1", "2"]


@pytest.mark.parametrize("fresh", [3, 1, 2], ids=["new", "smallest", "another"])
async def test_every_merge_updates_a_row_so_that_it_conflicts_with_every_other(
    warehouse: BigQueryWarehouse, fresh: int
) -> None:
    published = TableRef(DATASET, "merged")
    rows = "SELECT DATE '2025-11-15' AS day, id FROM UNNEST([1, 2]) AS id"
    await finish(warehouse, MergeJob("first", await stage(warehouse, "_stage_1", rows), published, ("id",)))
    staged = await stage(warehouse, "_stage_2", f"SELECT DATE '2025-11-15' AS day, {fresh} AS id")
    source, target = f"`{staged}`", f"`{published}`"
    merge = Statement(merge_sql(source, target, columns=["day", "id"], keys=["id"]))
    assert await finish(warehouse, QueryJob("merge", merge)) == 2, "the row that is merged, and another"
