"""Lists what was done to a tenant, and by whom.

Audited is every call of TenantService that changes a tenant or makes one of its secrets known, from the moment on when it is known to be
well-formed, allowed, and about a tenant that is in use. What is not: reads; what was refused before that, for example without a good key
or without the scope, since a stranger could fill a tenant's table with it, so the log has it; what an Onboard came to that did not get
the name; and runs, whose record is the table `pipeline_runs`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from common.audit import AUDIT_TABLE
from common.fields import Fields, WireTime
from common.paging import Page, Place, first_page, page_request, place_after
from common.rpc.caller import Caller
from common.warehouse.rows import read_rows, required_time_in, text_in, time_in
from common.warehouse.warehouse import Parameter, Row, Statement, TableRef, Warehouse
from tenant_service.get_tenant import require_tenant
from tenant_service.schema import Schema

_CLOCK_SKEW = timedelta(days=1)
"""More than the clocks of the warehouse and of a server differ by: no record is older than its dataset by more."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One act. Without `outcome_time` nobody knows how it ended, or whether it has."""

    audit_id: str
    tenant_id: str
    method: str
    principal: str
    resource: str
    attempt_time: datetime
    outcome_time: datetime | None
    outcome: str
    reason: str
    correlation_id: str


class ListAuditRecords:
    """The use case; one for the process."""

    def __init__(self, warehouse: Warehouse, schema: Schema) -> None:
        self._warehouse = warehouse
        self._schema = schema

    async def __call__(
        self,
        caller: Caller,
        *,
        tenant_id: str,
        start_time: WireTime | None,
        end_time: WireTime | None,
        page_size: int,
        page_token: str,
    ) -> Page[AuditRecord]:
        """One page of the acts begun in [start_time, end_time), the latest first.

        Raises InvalidInput, TenantMismatch, TenantNotFound, TenantNotReady, TenantSchemaConflict, Transient.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        start, end = fields.optional_time("start_time", start_time), fields.optional_time("end_time", end_time)
        if start is not None and end is not None and start >= end:
            fields.violation("end_time", "must be later than start_time")
        bound_to = ["ListAuditRecords", tenant_id, start_time, end_time]
        request = page_request(fields, page_size=page_size, page_token=page_token, bound_to=bound_to, key_length=2)
        after = place_after(fields, request)
        fields.require_valid()
        caller.require_tenant(tenant_id)
        tenant = await require_tenant(self._warehouse, tenant_id)
        await self._schema.bring_up(tenant)  # one of an earlier version may lack the table

        since = start or tenant.dataset.create_time - _CLOCK_SKEW
        statement = _statement(TableRef(tenant_id, AUDIT_TABLE), since, end, after, limit=request.size + 1)
        records = [_record(tenant_id, row) for row in await read_rows(self._warehouse, statement)]
        return first_page(records, request, lambda record: Place(record.attempt_time, record.audit_id).key)


def _statement(
    table: TableRef, since: datetime, until: datetime | None, after: Place | None, *, limit: int
) -> Statement:
    """`since`, `until` and `after` bound the partition column `create_time` itself, so that no other partition is read."""
    conditions = ["phase = 'ATTEMPT'", "create_time >= @since"]
    parameters = [Parameter("since", "TIMESTAMP", since)]
    if until is not None:
        conditions.append("create_time < @until")
        parameters.append(Parameter("until", "TIMESTAMP", until))
    if after is not None:
        conditions.append("create_time <= @after_time AND (create_time < @after_time OR audit_id < @after_id)")
        parameters.append(Parameter("after_time", "TIMESTAMP", after.time))
        parameters.append(Parameter("after_id", "STRING", after.item_id))
    return Statement(
        "SELECT begun.audit_id, begun.create_time AS attempt_time, begun.method, begun.principal, "
        "COALESCE(ended.resource, begun.resource) AS resource, begun.correlation_id, "
        "ended.create_time AS outcome_time, ended.outcome, ended.reason "
        f"FROM (SELECT * FROM `{table}` WHERE {' AND '.join(conditions)}) AS begun "
        f"LEFT JOIN (SELECT * FROM `{table}` WHERE phase = 'OUTCOME' AND create_time >= @since) AS ended "
        "ON ended.audit_id = begun.audit_id "
        "WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY begun.audit_id ORDER BY ended.create_time DESC) = 1 "
        f"ORDER BY attempt_time DESC, audit_id DESC LIMIT {limit}",
        tuple(parameters),
    )


def _record(tenant_id: str, row: Row) -> AuditRecord:
    return AuditRecord(
        audit_id=text_in(row, "audit_id"),
        tenant_id=tenant_id,
        method=text_in(row, "method"),
        principal=text_in(row, "principal"),
        resource=text_in(row, "resource"),
        attempt_time=required_time_in(row, "attempt_time"),
        outcome_time=time_in(row, "outcome_time"),
        outcome=text_in(row, "outcome"),
        reason=text_in(row, "reason"),
        correlation_id=text_in(row, "correlation_id"),
    )
