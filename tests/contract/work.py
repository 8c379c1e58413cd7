"""What most contract tests do: run a statement, stage rows, publish a day, read a table back."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from common.warehouse.columns import Column
from common.warehouse.warehouse import (
    Destination,
    Job,
    JobResult,
    Parameter,
    QueryJob,
    ReplaceJob,
    Row,
    Statement,
    TableRef,
    Warehouse,
)

WAIT_SECONDS = 30.0
SLOW = "SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 200000)) AS a, UNNEST(GENERATE_ARRAY(1, 200000)) AS b WHERE MOD(a * b, 7) = 3"
"""Runs for minutes unless it is stopped."""


def new_id(prefix: str = "job") -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


async def finish(warehouse: Warehouse, job: Job) -> JobResult:
    """Submit and wait; a job may be refused by either."""
    await warehouse.submit(job)
    return await warehouse.wait(job.job_id, timeout_seconds=WAIT_SECONDS)


async def execute(warehouse: Warehouse, sql: str, *parameters: Parameter) -> JobResult:
    return await finish(warehouse, QueryJob(job_id=new_id(), statement=Statement(sql, parameters)))


async def select(warehouse: Warehouse, sql: str, *parameters: Parameter) -> list[Row]:
    stream = await warehouse.read(Statement(sql, parameters))
    return [row async for page in stream for row in page]


async def select_columns(warehouse: Warehouse, sql: str, *parameters: Parameter) -> tuple[Column, ...]:
    stream = await warehouse.read(Statement(sql, parameters))
    await stream.close()
    return stream.columns


@dataclass(frozen=True)
class Costs:
    """A published table of costs by day, and the staging of its rows."""

    warehouse: Warehouse
    dataset: str

    @property
    def table(self) -> TableRef:
        return TableRef(self.dataset, "costs")

    async def stage(self, sql: str, *parameters: Parameter, partition_column: str | None = "day") -> TableRef:
        """Write a SELECT's rows to a new staging table."""
        ref = TableRef(self.dataset, f"_stage_{uuid.uuid4().hex[:12]}")
        destination = Destination(ref, partition_column=partition_column)
        await finish(self.warehouse, QueryJob(new_id("stage"), Statement(sql, parameters), destination))
        return ref

    async def stage_day(self, day: date, amounts: Sequence[int]) -> TableRef:
        sql = "SELECT @day AS day, amount FROM UNNEST(@amounts) AS amount"
        values = Parameter("amounts", "INT64", list(amounts), array=True)
        return await self.stage(sql, Parameter("day", "DATE", day), values)

    def replacement(self, source: TableRef, day: date | None, job_id: str | None = None) -> ReplaceJob:
        return ReplaceJob(job_id or new_id("publish"), source, self.table, day)

    async def publish_day(self, day: date, amounts: Sequence[int]) -> JobResult:
        return await finish(self.warehouse, self.replacement(await self.stage_day(day, amounts), day))

    async def amounts(self, day: date) -> list[object]:
        rows = await select(
            self.warehouse,
            f"SELECT amount FROM `{self.table}` WHERE day = @day ORDER BY amount",
            Parameter("day", "DATE", day),
        )
        return [row["amount"] for row in rows]
