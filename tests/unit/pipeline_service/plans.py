"""Plans for tests, over SELECTs that only the fake warehouse understands."""

from dataclasses import replace

from common.templates.resolved import (
    ResolvedCheck,
    ResolvedQuery,
    ResolvedStatement,
    ResolvedStep,
    ResolvedTable,
    ResolvedTemplate,
    Severity,
)
from common.warehouse.warehouse import Statement, TableRef
from pipeline_service.plan import Plan
from tests.unit.pipeline_service.fake_warehouse import DAY


def statement(sql: str) -> ResolvedStatement:
    """A SELECT that reads no table."""
    return ResolvedStatement(Statement(sql), ())


def check(name: str, severity: Severity = "error") -> ResolvedCheck:
    """A check whose SELECT is `measure {name}`."""
    return ResolvedCheck(name, "not_null", severity, statement(f"measure {name}"), None)


def query_step(
    tenant_id: str, step_id: str = "load", *, after: tuple[str, ...] = (), checks: tuple[ResolvedCheck, ...] = ()
) -> ResolvedStep:
    """A step that publishes the rows of `select {step_id}` as the day DAY of the table {step_id}_table."""
    destination = ResolvedTable(TableRef(tenant_id, f"{step_id}_table"), "day", DAY)
    query = ResolvedQuery(statement(f"select {step_id}"), destination, "replace_partition", (), None)
    return ResolvedStep(step_id, "query", after, 30.0, 3, query, None, checks)


def dq_step(
    tenant_id: str, table: str, *, after: tuple[str, ...] = (), checks: tuple[ResolvedCheck, ...]
) -> ResolvedStep:
    """A step that checks a published table."""
    checked = ResolvedTable(TableRef(tenant_id, table), "day", DAY)
    return ResolvedStep("verify", "dq", after, 30.0, 3, None, checked, checks)


def plan(tenant_id: str, *steps: ResolvedStep, exclusive: bool = False, **parameters: str) -> Plan:
    """The plan of a template with these steps."""
    resolved = ResolvedTemplate(
        pipeline_id=f"{tenant_id}-gcp-cost-bill",
        tenant_id=tenant_id,
        digest="0" * 64,
        parameters=tuple(sorted(({"date": DAY.isoformat()} | parameters).items())),
        steps=steps or (query_step(tenant_id),),
        exclusive=exclusive,
    )
    return Plan.of(resolved, trigger_by="test", principal="key")


def with_timeout(step: ResolvedStep, seconds: float) -> ResolvedStep:
    """The step with another timeout."""
    return replace(step, timeout_seconds=seconds)
