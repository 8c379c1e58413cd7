"""The dry run, executed: a tenant that was granted nothing can stage, check and publish."""

from datetime import date
from typing import Any

import pytest

from common.templates.catalog import Catalog
from common.templates.resolve import resolve
from common.templates.template import TemplateName
from common.warehouse.warehouse import Statement, TableRef
from tests.unit.common.templates.duck import Duck
from tests.unit.common.templates.every_type import TODAY


@pytest.mark.parametrize(("day", "run_date"), [("", None), ("2025-11-15", date(2025, 11, 15))])
def test_a_dry_run_publishes_one_row_that_passes_its_checks(
    shipped: Catalog, duck: Duck, day: str, run_date: date | None
) -> None:
    template = resolve(
        shipped.get(TemplateName("gcp", "example", "dryrun")),
        tenant_id="acme",
        sources={},
        date=day,
        parameters={},
        today=TODAY,
    )
    staging, checking = template.steps
    assert staging.query is not None
    assert checking.checked is not None
    assert staging.query.destination.table == checking.checked.table == TableRef("acme", "dryrun")
    assert checking.depends_on == (staging.step_id,)

    duck.stage("dryrun", staging.query.select.statement)
    expected: dict[str, Any] = {"tenant_id": "acme", "pipeline_id": "acme-gcp-example-dryrun"}
    assert duck.read(Statement("SELECT * FROM acme.dryrun")) == [{**expected, "run_date": run_date, "succeeded": True}]
    assert all(duck.measure(check, "dryrun")["passed"] for step in template.steps for check in step.checks)
