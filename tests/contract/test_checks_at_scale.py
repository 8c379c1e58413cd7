"""Checks of very many rows: the warehouse counts, the service hears of a few."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from common.warehouse.warehouse import Row, RowStream, Statement, Warehouse
from tests.contract.checked_steps import WHOLE, CheckedStep
from tests.passing_on import PassingOn


class Counting(PassingOn):
    """A warehouse that counts the rows that are read from it."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.rows = 0
        super().__init__(warehouse)

    async def read(self, statement: Statement, **options: Any) -> "CountedRows":
        return CountedRows(await self.warehouse.read(statement, **options), self)


class CountedRows:
    """A stream of which every row counts."""

    def __init__(self, stream: RowStream, counting: Counting) -> None:
        self._stream = stream
        self._counting = counting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aiter__(self) -> AsyncIterator[Sequence[Row]]:
        async for page in self._stream:
            self._counting.rows += len(page)
            yield page


async def test_a_million_failing_rows_stay_in_the_warehouse(warehouse: Warehouse, dataset: str) -> None:
    counting = Counting(warehouse)
    step = CheckedStep(counting, dataset)
    await step.prepare()
    await step.put("SELECT 'a' AS title", "names")
    await step.put("SELECT number, CAST(number AS STRING) AS name FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS number")
    checks = (
        "type: accepted_values, column: name, values: [x]",
        "type: range, column: number, max: 0",
        "type: relationships, column: name, to: names, field: title",
        "type: expression, sql: number < 0",
        "type: row_count, max: 10",
    )
    done = await step.run(*(f"{{{check}, severity: warn}}" for check in checks), write=WHOLE)
    assert [outcome.passed for outcome in done.attempt.checks] == [False] * 5
    assert [result["failing_rows"] for result in await step.results()].count(1_000_000) == 4
    assert [len(result["sample"]) for result in await step.results() if result["sample"]] == [20] * 4
    assert counting.rows == 4 * 21 + 1
