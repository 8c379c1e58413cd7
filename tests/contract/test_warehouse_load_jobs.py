"""Load jobs as jobs, on both adapters: they run once, replace what was there, and end when told to."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from common.errors import ObjectExists, ObjectNotFound, Terminal
from common.warehouse.file_formats import CsvOptions
from common.warehouse.warehouse import Destination, LoadJob, ReplaceJob, TableRef, Warehouse
from tests.contract.loads import COST, GOOD, loaded, loading, refused
from tests.contract.work import WAIT_SECONDS, finish, new_id, select
from tests.warehouses import Place


async def test_a_load_takes_the_place_of_what_was_there_and_is_published_like_a_query(
    warehouse: Warehouse, dataset: str, place: Place
) -> None:
    expire_time = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    options: dict[str, Any] = {"partition_column": "day", "clustering": ("service",), "expire_time": expire_time}
    await finish(warehouse, loading(dataset, place.write("old.csv", GOOD), **options))
    await loaded(warehouse, loading(dataset, place.write("new.csv", GOOD.replace("1.5", "2.5")), **options))
    stage = await warehouse.get_table(TableRef(dataset, "loaded"))
    assert (stage.spec.partition_column, stage.spec.clustering, stage.expire_time) == ("day", ("service",), expire_time)
    published = TableRef(dataset, "cost")
    job = ReplaceJob(new_id(), stage.ref, published, date(2025, 11, 15))
    assert (await finish(warehouse, job)).rows == 1
    (row,) = await select(warehouse, f"SELECT * FROM `{published}`")
    assert row["cost"] == Decimal("2.5")


async def test_a_load_runs_once_under_its_id(warehouse: Warehouse, dataset: str, place: Place) -> None:
    job = loading(dataset, place.write("a.csv", GOOD))
    first = await finish(warehouse, job)
    place.write("a.csv", GOOD + "2025-11-15,storage,2\n")
    with pytest.raises(ObjectExists):
        await warehouse.submit(job)
    assert await warehouse.wait(job.job_id, timeout_seconds=WAIT_SECONDS) == first
    assert len(await warehouse.list_rows(job.destination.table)) == 1


async def test_a_load_that_is_cancelled_before_it_reads_changes_nothing(
    warehouse: Warehouse, dataset: str, place: Place
) -> None:
    job = loading(dataset, place.write("many.csv", "2025-11-15,compute,1.5\n" * 400_000), csv=CsvOptions())
    await warehouse.submit(job)
    await warehouse.cancel(job.job_id)
    with pytest.raises(Terminal):
        await warehouse.wait(job.job_id, timeout_seconds=WAIT_SECONDS)
    with pytest.raises(ObjectNotFound):
        await warehouse.get_table(job.destination.table)


async def test_a_load_that_takes_longer_than_its_timeout_ends(warehouse: Warehouse, dataset: str, place: Place) -> None:
    table = TableRef(dataset, "loaded")
    uri = place.write("many.csv", "2025-11-15,compute,1.5\n" * 1_000_000)
    job = LoadJob(new_id(), uri, "csv", COST, Destination(table), timeout_seconds=1)
    assert (await refused(warehouse, job)).reason == "STEP_TIMEOUT"
