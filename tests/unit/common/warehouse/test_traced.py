"""What is measured of jobs: each wait, under the name of what the job is for as long as it may still be waited for."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.trace import NoOpTracer

from common.errors import Transient, WarehouseError
from common.telemetry.telemetry import Telemetry
from common.warehouse.bigquery import BigQueryWarehouse
from common.warehouse.traced import TracedWarehouse
from common.warehouse.warehouse import QueryJob, Statement
from common.warehouse.warehouse_telemetry import WarehouseTelemetry
from tests.stubs.bigquery import BigQueryStub
from tests.unit.common.warehouse.conftest import TABLE

JOB = QueryJob("effect", Statement(f"INSERT INTO `{TABLE}` (id) VALUES (1)"))


class Measured:
    """A traced warehouse, and what was measured of it."""

    def __init__(self, warehouse: BigQueryWarehouse) -> None:
        self._reader = InMemoryMetricReader()
        telemetry = Telemetry(NoOpTracer(), MeterProvider([self._reader]).get_meter("test"))
        self.warehouse = TracedWarehouse(warehouse, WarehouseTelemetry(telemetry, "bigquery"))

    def told(self) -> dict[tuple[object, object], int]:
        """How often each operation ended with each `error.type`, None where it went well."""
        data = self._reader.get_metrics_data()
        assert data is not None
        points = [
            point
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
            if metric.name == "db.client.operation.duration"
            for point in metric.data.data_points
        ]
        told: dict[tuple[object, object], int] = {}
        for point in points:
            assert isinstance(point, HistogramDataPoint)
            about = point.attributes or {}
            told[about.get("db.operation.name"), about.get("error.type")] = point.count
        return told


async def test_every_wait_for_a_job_is_measured(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    measured = Measured(warehouse)
    stub.faults.hold_job("effect", polls=1_000_000)
    await measured.warehouse.submit(JOB)
    for _ in range(2):
        with pytest.raises(Transient):
            await measured.warehouse.wait("effect", timeout_seconds=0.1)
    assert measured.told() == {("query", "Transient"): 2}


@pytest.mark.parametrize(
    ("failure", "told"), [(None, None), ("backendError", "JobAborted"), ("stopped", "STATEMENT_FAILED")]
)
async def test_what_a_job_was_is_kept_only_until_a_wait_has_seen_it_end(
    failure: str | None, told: str | None, stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    measured = Measured(warehouse)
    if failure is not None:
        stub.faults.fail_job("effect", failure)
    await measured.warehouse.submit(JOB)
    for _ in range(2):
        try:
            await measured.warehouse.wait("effect", timeout_seconds=30)
        except WarehouseError:
            assert failure is not None
    assert measured.told() == {("query", told): 1, ("job", told): 1}
