"""Claiming a tenant's name: creating its dataset is atomic, so of any number of onboardings one creates it and the rest find it.

The dataset's labels say whose it is, how far its onboarding came, and which request may have its answer again.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from common.audit import REQUEST_ID_LIFETIME
from common.clock import Clock
from common.digest import short_digest
from common.errors import DatasetTaken, ObjectExists, PreconditionLost, RequestIdReused, TenantExists, TenantNotFound
from common.tenants.tenant import BODY, CLAIM, REQUEST, SCHEMA, TenantRecord, tenant_labels, tenant_of
from common.warehouse.warehouse import Dataset, Warehouse
from tenant_service.transition import take_to


@dataclass(frozen=True, slots=True)
class RequestDigests:
    """Digests of an Onboard: of who asked under which `request_id`, and of what was asked. 32 hex digits each, to fit a label."""

    identity: str
    body: str

    @classmethod
    def of(cls, *, principal: str, request_id: str, sources: Mapping[str, str]) -> "RequestDigests":
        """Digest a request; one without a `request_id` is like no other."""
        return cls(
            identity=short_digest([principal, request_id.lower() or uuid.uuid4().hex]),
            body=short_digest(sorted(sources.items())),
        )


class Claims:
    """The datasets of tenants, from claim to readiness."""

    def __init__(self, warehouse: Warehouse, clock: Clock) -> None:
        self._warehouse = warehouse
        self._clock = clock

    async def claim(
        self, tenant_id: str, request: RequestDigests, *, location: str, labels: Mapping[str, str], description: str
    ) -> TenantRecord:
        """Create the tenant's dataset, or find the one that this request may complete or answer from.

        Raises DatasetTaken, TenantExists (it was onboarded by another request, or is older than a request_id is remembered),
        RequestIdReused (it was by this one, asking for something else). One that is half made can be completed at any age.
        """
        labels_of_ours = tenant_labels("creating", claim=request.identity, request=request.identity, body=request.body)
        try:
            dataset = await self._warehouse.create_dataset(
                tenant_id, location=location, labels={**labels, **labels_of_ours}, description=description
            )
        except ObjectExists:
            return await self._take_up(tenant_id, request)
        return TenantRecord(tenant_id, "creating", dataset)

    async def make_ready(self, tenant_id: str, *, schema_version: int) -> None:
        """Take the tenant, whose tables are at this version, from creating to ready, whatever else changed its labels meanwhile. One that
        has come further stays. Raises TenantNotFound where somebody has begun to delete it."""
        labels = {SCHEMA: str(schema_version)}
        tenant = await take_to(self._warehouse, tenant_id, "ready", among={"creating"}, labels=labels)
        if not tenant.authenticates:
            raise TenantNotFound

    async def _take_up(self, tenant_id: str, request: RequestDigests) -> TenantRecord:
        while True:
            dataset = await self._warehouse.get_dataset(tenant_id)
            tenant = tenant_of(dataset)
            if tenant is None:
                raise DatasetTaken("A dataset of that name exists that is no tenant's")
            if self._answers(dataset, request) and tenant.state not in ("deleting", "deleted"):
                if dataset.labels.get(BODY) != request.body:
                    raise RequestIdReused
                return tenant
            if tenant.state != "creating":
                raise TenantExists("The tenant exists already")
            try:  # An admin completes an onboarding that another request began, and gets the answer from now on.
                dataset = await self._warehouse.set_labels(dataset, {REQUEST: request.identity, BODY: request.body})
            except PreconditionLost:
                continue
            return TenantRecord(tenant_id, "creating", dataset)

    def _answers(self, dataset: Dataset, request: RequestDigests) -> bool:
        """Whether the dataset came to be by this request, so lately that its request_id is still remembered."""
        age = self._clock.now() - dataset.create_time
        return dataset.labels.get(REQUEST) == request.identity and age < REQUEST_ID_LIFETIME


def claim_of(dataset: Dataset) -> str:
    """The digits that the ids of this onboarding's jobs are made from: the same for whoever completes it."""
    return dataset.labels[CLAIM]
