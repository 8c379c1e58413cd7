"""What a run of the template `daily` must have left behind, whatever happened to the processes that executed it: everything, once."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

from common.warehouse.warehouse import Row, TableRef, Warehouse
from convergence.pipeline.v1 import run_pb2
from tests.chaos.installation import Installation, Tenant
from tests.rpc.pipeline_stack import DAY

CHECKS = {("load", "not_null_service"), ("load", "row_count"), ("verify", "unique"), ("verify", "total")}
PUBLISHED = [("compute", Decimal("1.123456789")), ("storage", Decimal(2))]
"""Service and cost of the rows of DAY."""


async def published(warehouse: Warehouse, tenant: Tenant) -> list[Row]:
    """Every row of the table that the template publishes, whole, in an order that depends on nothing else."""
    return sorted(await warehouse.list_rows(TableRef(tenant.tenant_id, "cost")), key=str)


async def assert_done_once(place: Installation, tenant: Tenant, run: run_pb2.Run) -> None:
    """The run is COMPLETE and published, everything of it is recorded, and nothing was done or recorded twice or is left over."""
    assert run.status == run_pb2.Run.COMPLETE, run
    run_id = run.pipeline_logging_id
    [recorded] = await records(place.warehouse, tenant.tenant_id, "pipeline_runs", run_id)
    assert recorded["status"] == "COMPLETE"

    logged = await records(place.warehouse, tenant.tenant_id, "step_logs", run_id)
    attempts = Counter((row["step_id"], row["attempt"]) for row in logged)
    assert set(attempts.values()) == {1}, attempts
    succeeded = Counter(row["step_id"] for row in logged if row["status"] == "COMPLETE")
    assert succeeded == {"load": 1, "verify": 1}, logged

    checks = Counter(
        (row["step_id"], row["check_name"])
        for row in await records(place.warehouse, tenant.tenant_id, "dq_results", run_id)
    )
    assert checks == dict.fromkeys(CHECKS, 1)

    rows = [row for row in await published(place.warehouse, tenant) if str(row["day"]) == DAY]
    assert [(row["service"], row["cost"]) for row in rows] == PUBLISHED
    assert await place.stages(tenant) == []
    if place.stub is not None:
        assert_jobs_ran_once(place.stub.outcomes(), run_id)


def assert_jobs_ran_once(outcomes: Mapping[str, str], run_id: str) -> None:
    """Of each effect's jobs one succeeded, and none still runs."""
    effects: Counter[str] = Counter()
    for job_id, outcome in outcomes.items():
        if job_id.startswith(f"{run_id}_") and "-rows-" not in job_id:  # those only count
            assert outcome != "RUNNING", job_id
            effects[job_id.removeprefix(f"{run_id}_").rpartition("_")[0]] += outcome == "DONE"
    assert set(effects.values()) == {1}, effects
    assert {"begin", "load_stage", "load_checks", "load_publish", "verify_checks"} <= set(effects)
    assert {"done", "end"} & set(effects), (
        "with its last step, by the run itself, or by both where the worker died in between"
    )


async def records(warehouse: Warehouse, tenant_id: str, table: str, run_id: str) -> list[Row]:
    """What a metadata table has of a run."""
    rows = await warehouse.list_rows(TableRef(tenant_id, table))
    return [row for row in rows if row["pipeline_logging_id"] == run_id]
