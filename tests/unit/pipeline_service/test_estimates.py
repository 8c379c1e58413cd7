"""Estimates of steps: sums of statements, what their basis is together, and the least that BigQuery bills."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

import pytest

from common.errors import AccessRefused, Terminal, Transient, WarehouseError
from common.warehouse.estimate import MINIMUM_BILLED_BYTES, Estimate, EstimateBasis
from common.warehouse.warehouse import Statement
from pipeline_service.estimates import Basis, Estimates
from pipeline_service.plan import PlanCheck, PlanStatement, PlanStep, PlanTable
from pipeline_service.price import Price

GIB = 2**30
PREFIX = "WITH checked AS (SELECT * FROM `acme.cost`) "


@dataclass
class Estimating:
    """A warehouse that only estimates: as many bytes as a statement's text says, on the basis behind them."""

    error: WarehouseError | None = None

    async def estimate(self, statement: Statement) -> Estimate:
        if self.error is not None:
            raise self.error
        size, basis = statement.sql.removeprefix(PREFIX).split()
        return Estimate(int(size) if size != "None" else None, cast("EstimateBasis", basis))


def step(*measures: str) -> PlanStep:
    """A dq step of checks."""
    checks = tuple(PlanCheck(text, "t", "error", PlanStatement(text, (), ()), None) for text in measures)
    return PlanStep("a", "dq", (), 60, 1, None, PlanTable("acme.cost", None, None), checks)


async def estimate(*measures: str, error: WarehouseError | None = None) -> Any:
    [found] = await Estimates(cast(Any, Estimating(error)), Price(Decimal(1024))).of([step(*measures)])
    return found


async def test_statements_are_added_up_and_each_bills_at_least_ten_megabytes_a_table() -> None:
    found = await estimate(f"{GIB} dry_run", "1 dry_run", "0 dry_run")
    assert found.cost.bytes_processed == GIB + 1
    assert found.cost.bytes_billed == GIB + 2 * MINIMUM_BILLED_BYTES
    assert found.cost.usd == Decimal(1) + 2 * Decimal(10) / 1024


@pytest.mark.parametrize(
    ("bases", "basis"),
    [
        (["dry_run"], "dry_run"),
        (["dry_run", "dry_run_at_most"], "dry_run_at_most"),
        (["dry_run_at_least", "dry_run"], "dry_run_at_least"),
        (["dry_run_at_least", "dry_run_at_most"], "dry_run_unsure"),
        (["dry_run", "dry_run_unsure"], "dry_run_unsure"),
        (["table_sizes", "table_sizes"], "table_sizes"),
    ],
)
async def test_a_sum_is_as_sure_as_its_least_sure_part(bases: list[str], basis: Basis) -> None:
    assert (await estimate(*(f"1 {name}" for name in bases))).basis == basis


async def test_of_a_sum_with_an_unknown_part_nothing_is_known() -> None:
    found = await estimate("1 dry_run", "None table_missing")
    assert (found.basis, found.cost) == ("unknown", None)
    assert found.unknown_because == "A table that it reads does not exist yet"


@pytest.mark.parametrize("error", [Terminal("no such column at 1:7"), AccessRefused("refused")])
async def test_a_refusal_is_told_not_raised(error: Terminal) -> None:
    found = await estimate("1 dry_run", error=error)
    assert (found.basis, found.cost, found.unknown_because) == ("unknown", None, error.message)


async def test_a_warehouse_that_is_away_is_no_estimate() -> None:
    with pytest.raises(Transient):
        await estimate("1 dry_run", error=Transient("away"))
