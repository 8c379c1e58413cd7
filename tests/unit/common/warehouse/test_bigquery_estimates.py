"""Dry runs: what BigQuery's adapter makes of their answers, and that they leave no job behind."""

import pytest

from common.errors import AccessRefused, Terminal, Transient
from common.warehouse.bigquery import BigQueryWarehouse
from common.warehouse.estimate import EstimateBasis
from common.warehouse.warehouse import QueryJob, Statement
from tests.stubs.bigquery import BigQueryStub
from tests.unit.common.warehouse.conftest import TABLE

SELECT = Statement(f"SELECT id FROM `{TABLE}`")


@pytest.mark.parametrize(
    ("accuracy", "basis"),
    [
        ("PRECISE", "dry_run"),
        ("LOWER_BOUND", "dry_run_at_least"),
        ("UPPER_BOUND", "dry_run_at_most"),
        ("UNKNOWN", "dry_run_unsure"),
        ("A_WORD_THAT_IS_NEW", "dry_run_unsure"),
    ],
)
async def test_an_estimate_tells_how_exact_bigquery_says_that_it_is(
    stub: BigQueryStub, warehouse: BigQueryWarehouse, accuracy: str, basis: EstimateBasis
) -> None:
    stub.faults.accuracy = accuracy
    assert (await warehouse.estimate(SELECT)).basis == basis


async def test_an_estimate_is_one_request_and_no_job(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    await warehouse.estimate(SELECT)
    assert stub.requests == ["jobs.insert"]
    job = QueryJob(stub.calls[-1].job_id, SELECT)
    await warehouse.submit(job)
    await warehouse.wait(job.job_id, timeout_seconds=10)


@pytest.mark.parametrize(
    ("reason", "error"), [("quotaExceeded", Transient), ("accessDenied", AccessRefused), ("invalidQuery", Terminal)]
)
async def test_an_estimate_that_is_refused_says_why(
    stub: BigQueryStub, warehouse: BigQueryWarehouse, reason: str, error: type[Exception]
) -> None:
    stub.faults.refuse("jobs.insert", reason, times=1000)
    with pytest.raises(error):
        await warehouse.estimate(SELECT)


async def test_a_passing_fault_of_an_estimate_is_ridden_out(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.refuse("jobs.insert", "backendError", times=2)
    assert (await warehouse.estimate(SELECT)).bytes_processed == 0
    assert len(stub.requests) == 3
