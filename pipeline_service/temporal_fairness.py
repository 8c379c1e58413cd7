"""The order among tenants: where workers are short, the engine serves them in turn, whoever has how much waiting.

It is told by whom a workflow is, and takes its tasks and activities to be the same tenant's. The server needs
`matching.enableFairness`; without it the order is that of arrival.
"""

from temporalio.api.common.v1 import Priority as RawPriority
from temporalio.common import Priority

_RECORDS = "/records"
"""Behind the id of a tenant, of 50 characters at most: a key has no more than 64."""


def turn_of(tenant_id: str) -> Priority:
    """What a workflow of the tenant is started with."""
    return Priority(fairness_key=tenant_id)


def record_turn_of(tenant_id: str) -> Priority:
    """What a run's begin is recorded with by an activity of its own. These have a turn besides the tenant's: those of its waiting runs,
    which may be hundreds, would else come before the steps of its others."""
    return Priority(fairness_key=f"{tenant_id}{_RECORDS}")


def raw_turn_of(tenant_id: str) -> RawPriority:
    """The same for a request that is written by hand."""
    return RawPriority(fairness_key=tenant_id)
