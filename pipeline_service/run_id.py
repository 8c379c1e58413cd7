"""A run's names. From its `pipeline_logging_id` and tenant alone any replica finds the live run in the engine, without a mapping table.

A pipeline_logging_id is a UUID of version 8 (RFC 9562 section 5.8, custom layout):

    bits 0-47    the first 12 of the 15 hex digits that name the workflow       bits 48-51   the version, 8
    bits 52-63   the last 3 of them                                             bits 64-65   the variant, binary 10
    bits 66-127  the first 62 bits of the SHA-256 of the engine's run id, which tell runs of one workflow apart
"""

import hashlib
import json
import uuid
from collections.abc import Mapping

_SECOND_HALF = (1 << 62) - 1


def workflow_id_for(tenant_id: str, pipeline_id: str, parameters: Mapping[str, str]) -> str:
    """`run/{tenant_id}/{15 hex digits}`: the same for the same tenant, pipeline and resolved parameters, whatever their order."""
    return _workflow_id(tenant_id, _digits_of([pipeline_id, sorted(parameters.items())]))


def exclusive_workflow_id_for(tenant_id: str, pipeline_id: str) -> str:
    """Likewise for a pipeline that runs once at a time: the same whatever its parameters."""
    return _workflow_id(tenant_id, _digits_of([pipeline_id]))


def backfill_workflow_id_for(tenant_id: str, pipeline_id: str) -> str:
    """`run/{tenant_id}/{15 hex digits}`: the one of the tenant's backfills of a template, of which one is active at a time."""
    return _workflow_id(tenant_id, _digits_of([pipeline_id, "backfill"]))


def pipeline_logging_id_for(workflow_id: str, engine_run_id: str) -> str:
    """The id of one run of a workflow."""
    digits = workflow_id.rsplit("/", 1)[1]
    second = int.from_bytes(hashlib.sha256(engine_run_id.encode()).digest()[:8], "big") >> 2
    return str(uuid.UUID(int=(int(f"{digits[:12]}8{digits[12:]}", 16) << 64) | (0b10 << 62) | (second & _SECOND_HALF)))


def workflow_id_of(tenant_id: str, pipeline_logging_id: str) -> str | None:
    """The workflow whose run this is, if it is a run of that tenant; None for a UUID that no run can have."""
    parsed = uuid.UUID(pipeline_logging_id)
    if parsed.version != 8:
        return None
    digits = parsed.hex
    return _workflow_id(tenant_id, digits[:12] + digits[13:16])


def workflow_id_prefix(tenant_id: str) -> str:
    """What the workflow ids of a tenant's runs begin with, and no other's."""
    return f"run/{tenant_id}/"


def _digits_of(named: list[object]) -> str:
    canonical = json.dumps(named, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:15]


def _workflow_id(tenant_id: str, digits: str) -> str:
    return workflow_id_prefix(tenant_id) + digits
