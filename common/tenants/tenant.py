"""A tenant as its dataset's labels tell it. Label values are lower case, at most 63 characters of a-z, 0-9, _ and - (BigQuery's rule)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from common.warehouse.warehouse import Dataset

State = Literal["creating", "ready", "suspended", "deleting", "deleted"]

MARK = "convergence"
"""The label key that makes a dataset a tenant's. A dataset without it is never touched."""
STATE = "convergence_state"
CLAIM = "convergence_claim"
"""32 hex digits drawn from the request that created the dataset; what the onboarding inserts runs under job ids made from it."""
REQUEST = "convergence_request"
"""32 hex digits of a digest of principal and `request_id` whose Onboard may be answered again."""
BODY = "convergence_body"
"""32 hex digits of a digest of that Onboard's other fields."""
SCHEMA = "convergence_schema"
"""The version of the tenant's metadata tables; 1 where it is missing."""


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant's state, and its dataset as it was when read."""

    tenant_id: str
    state: State
    dataset: Dataset

    @property
    def authenticates(self) -> bool:
        """Whether its keys are accepted."""
        return self.state in ("ready", "suspended")

    @property
    def schema_version(self) -> int:
        """The version of its metadata tables."""
        return schema_version_of(self.dataset)


def tenant_of(dataset: Dataset) -> TenantRecord | None:
    """The tenant whose dataset this is; None for a dataset that does not carry our mark."""
    if dataset.labels.get(MARK) != "tenant":
        return None
    state = dataset.labels.get(STATE)
    for known in get_args(State):
        if state == known:
            return TenantRecord(dataset.dataset_id, known, dataset)
    return TenantRecord(dataset.dataset_id, "creating", dataset)


def schema_version_of(dataset: Dataset) -> int:
    """The version of a dataset's metadata tables; 1, the lowest, where no label of ours says so."""
    text = dataset.labels.get(SCHEMA, "")
    return int(text) if text.isdecimal() else 1


def tenant_labels(state: State, *, claim: str, request: str, body: str) -> Mapping[str, str]:
    """The labels of a new tenant's dataset."""
    return {MARK: "tenant", STATE: state, CLAIM: claim, REQUEST: request, BODY: body}
