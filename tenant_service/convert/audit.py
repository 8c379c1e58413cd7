"""Audit records between the wire and the use case: protobuf in, protobuf out, nothing else."""

from common.paging import Page
from common.rpc.times import timestamp
from convergence.tenant.v1 import audit_record_pb2 as pb2
from tenant_service.list_audit_records import AuditRecord


def audit_records_to_proto(page: Page[AuditRecord]) -> pb2.ListAuditRecordsResponse:
    """A page of records."""
    return pb2.ListAuditRecordsResponse(records=map(_record_to_proto, page.items), next_page_token=page.next_page_token)


def _record_to_proto(record: AuditRecord) -> pb2.AuditRecord:
    return pb2.AuditRecord(
        audit_id=record.audit_id,
        tenant_id=record.tenant_id,
        method=record.method,
        principal=record.principal,
        resource=record.resource,
        attempt_time=timestamp(record.attempt_time),
        outcome_time=timestamp(record.outcome_time),
        outcome=record.outcome,
        reason=record.reason,
        correlation_id=record.correlation_id,
    )
