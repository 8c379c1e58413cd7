"""ListRuns: a tenant's runs from its own records, each active one as the engine has it."""

from collections.abc import Sequence
from dataclasses import astuple

from common.fields import Fields
from common.for_each import map_each
from common.ids import PATH_NAME, TEMPLATE_NAME
from common.paging import Page, Place, first_page, page_request, place_after
from common.rpc.caller import Caller
from pipeline_service.get_run import GetRun
from pipeline_service.records import Records
from pipeline_service.run import Run
from pipeline_service.run_filter import RunFilter

_AT_ONCE = 16


class ListRuns:
    """The use case."""

    def __init__(self, records: Records, get_run: GetRun) -> None:
        self._records = records
        self._get_run = get_run

    async def __call__(
        self, caller: Caller, *, tenant_id: str, wanted: RunFilter, page_size: int, page_token: str
    ) -> Page[Run]:
        """One page. Raises InvalidInput, TenantMismatch, Transient, Unavailable; a tenant that does not exist has no runs."""
        fields = Fields()
        fields.tenant_id(tenant_id)
        if wanted.provider:
            fields.pattern("provider", wanted.provider, PATH_NAME)
        if wanted.domain:
            fields.pattern("domain", wanted.domain, PATH_NAME)
        if wanted.template_name:
            fields.pattern("template_name", wanted.template_name, TEMPLATE_NAME)
        fields.optional_days(wanted.start_date, wanted.end_date)
        bound_to = ["ListRuns", tenant_id, *astuple(wanted)]
        request = page_request(fields, page_size=page_size, page_token=page_token, bound_to=bound_to, key_length=2)
        after = place_after(fields, request)
        fields.require_valid()
        caller.require_tenant(tenant_id)

        recorded = await self._records.runs(tenant_id, wanted, after=after, limit=request.size + 1)
        page = first_page(recorded, request, lambda run: Place(run.create_time, run.pipeline_logging_id).key)
        runs = await self._as_they_stand(page.items)
        return Page([run for run in runs if wanted.status in (None, run.state.status)], page.next_page_token)

    async def _as_they_stand(self, recorded: Sequence[Run]) -> list[Run]:
        """The runs, those that had not ended when they were recorded as the engine has them now."""

        async def now(run: Run) -> Run:
            return run if run.state.status.is_terminal else await self._get_run.as_it_stands(run)

        return await map_each(recorded, now, at_once=_AT_ONCE)
