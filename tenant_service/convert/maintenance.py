"""What operators do over all tenants, between the wire and the use cases: protobuf in, protobuf out, nothing else."""

from convergence.errors.v1 import error_reason_pb2
from convergence.tenant.v1 import maintenance_pb2 as pb2
from tenant_service.migrate_tenants import MigrationProgress
from tenant_service.rewrap_secrets import RewrapProgress


def migration_to_proto(progress: MigrationProgress) -> pb2.MigrateTenantsResponse:
    """One message of MigrateTenants."""
    migration = progress.migration
    return pb2.MigrateTenantsResponse(
        tenant_id=migration.tenant_id,
        result=pb2.MigrateTenantsResponse.Result.Value(migration.result),
        from_schema_version=migration.from_version,
        to_schema_version=migration.to_version,
        error=_reason(migration.error),
        done_tenant_count=progress.done_tenants,
        tenant_count=progress.tenants,
    )


def rewrapping_to_proto(progress: RewrapProgress) -> pb2.RewrapSecretsResponse:
    """One message of RewrapSecrets."""
    rewrapping = progress.rewrapping
    return pb2.RewrapSecretsResponse(
        tenant_id=rewrapping.tenant_id,
        rewrapped_count=rewrapping.rewrapped,
        failed_count=rewrapping.remaining,
        error=_reason(rewrapping.error),
        done_tenant_count=progress.done_tenants,
        tenant_count=progress.tenants,
        secrets_by_key_version=progress.by_key_version,
    )


def _reason(name: str) -> error_reason_pb2.ErrorReason.ValueType:
    return error_reason_pb2.ErrorReason.Value(name) if name else error_reason_pb2.ERROR_REASON_UNSPECIFIED
