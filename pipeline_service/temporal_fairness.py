"""The order among tenants: where workers are short, the engine serves them in turn, whoever has how much waiting.

It is told by whom a workflow is, and takes its tasks and activities to be the same tenant's. The server needs
`matching.enableFairness`; without it the order is that of arrival.
"""

from temporalio.api.common.v1 import Priority as RawPriority
from temporalio.common import Priority


def turn_of(tenant_id: str) -> Priority:
    """What a workflow of the tenant is started with."""
    return Priority(fairness_key=tenant_id)


def raw_turn_of(tenant_id: str) -> RawPriority:
    """The same for a request that is written by hand."""
    return RawPriority(fairness_key=tenant_id)
