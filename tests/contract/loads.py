"""Load jobs for tests, and what becomes of them."""

from typing import Any

import pytest

from common.errors import ObjectNotFound, Terminal
from common.warehouse.columns import Column
from common.warehouse.file_formats import CsvOptions, LoadFormat
from common.warehouse.warehouse import Destination, JobResult, LoadJob, Row, TableRef, Warehouse
from tests.contract.work import finish, new_id

COST = (Column("day", "DATE"), Column("service", "STRING"), Column("cost", "NUMERIC"))
HEADER = CsvOptions(skip_leading_rows=1)
GOOD = "day,service,cost\n2025-11-15,compute,1.5\n"


def loading(
    dataset: str,
    uri: str,
    columns: tuple[Column, ...] = COST,
    kind: LoadFormat = "csv",
    *,
    csv: CsvOptions = HEADER,
    **destination: Any,
) -> LoadJob:
    into = Destination(TableRef(dataset, "loaded"), **destination)
    return LoadJob(new_id("load"), uri, kind, columns, into, csv)


async def loaded(warehouse: Warehouse, job: LoadJob) -> list[Row]:
    """The rows that a job loads, in no order."""
    result = await finish(warehouse, job)
    rows = list(await warehouse.list_rows(job.destination.table))
    assert result == JobResult(job.job_id, len(rows), bytes_processed=0, bytes_billed=0)
    return rows


async def refused(warehouse: Warehouse, job: LoadJob) -> Terminal:
    """How a job fails, which leaves no table."""
    with pytest.raises(Terminal) as caught:
        await finish(warehouse, job)
    with pytest.raises(ObjectNotFound):
        await warehouse.get_table(job.destination.table)
    return caught.value
