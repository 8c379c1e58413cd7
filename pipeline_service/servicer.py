"""PipelineService on the wire: unpack, call the use case, pack."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from common.rpc.around import Context
from common.rpc.caller import current_caller
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import plan_pb2, run_pb2, template_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceServicer
from pipeline_service.backfill_template import BackfillTemplate
from pipeline_service.cancel_run import CancelRun
from pipeline_service.cancel_runs import CancelRuns
from pipeline_service.convert import (
    backfill_options_from_proto,
    filter_from_proto,
    options_from_proto,
    rows_to_proto,
    run_to_proto,
    runs_to_proto,
    started_to_proto,
    template_to_proto,
    templates_to_proto,
)
from pipeline_service.convert_plan import plan_options_from_proto, planned_to_proto
from pipeline_service.get_run import GetRun
from pipeline_service.get_template import GetTemplate
from pipeline_service.list_runs import ListRuns
from pipeline_service.list_templates import ListTemplates
from pipeline_service.plan_template import PlanTemplate
from pipeline_service.read_table import ReadTable
from pipeline_service.retry_run import RetryRun
from pipeline_service.run_pipeline import RunPipeline
from pipeline_service.run_template import RunTemplate
from pipeline_service.watch_run import WatchRun


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the servicer serves."""

    run_template: RunTemplate
    run_pipeline: RunPipeline
    backfill_template: BackfillTemplate
    plan_template: PlanTemplate
    get_run: GetRun
    watch_run: WatchRun
    cancel_run: CancelRun
    cancel_runs: CancelRuns
    retry_run: RetryRun
    list_runs: ListRuns
    get_template: GetTemplate
    list_templates: ListTemplates
    read_table: ReadTable


class PipelineServicer(PipelineServiceServicer):
    """The handlers. Authentication and errors are the interceptors'."""

    def __init__(self, use_cases: UseCases) -> None:
        self._use_cases = use_cases

    async def RunTemplate(self, request: pb2.RunTemplateRequest, context: Context) -> pb2.RunTemplateResponse:
        """Start or join a run of a template."""
        started = await self._use_cases.run_template(
            current_caller(),
            tenant_id=request.tenant_id,
            provider=request.provider,
            domain=request.domain,
            template_name=request.template_name,
            options=options_from_proto(request),
        )
        return started_to_proto(started)

    async def RunPipeline(self, request: pb2.RunPipelineRequest, context: Context) -> pb2.RunTemplateResponse:
        """Start or join a run of a template by its pipeline id."""
        started = await self._use_cases.run_pipeline(
            current_caller(), pipeline_id=request.pipeline_id, options=options_from_proto(request)
        )
        return started_to_proto(started)

    async def BackfillTemplate(self, request: pb2.BackfillTemplateRequest, context: Context) -> pb2.RunTemplateResponse:
        """Start or join a backfill of a template."""
        started = await self._use_cases.backfill_template(
            current_caller(),
            tenant_id=request.tenant_id,
            provider=request.provider,
            domain=request.domain,
            template_name=request.template_name,
            options=backfill_options_from_proto(request),
        )
        return started_to_proto(started)

    async def PlanTemplate(self, request: plan_pb2.PlanTemplateRequest, context: Context) -> plan_pb2.TemplatePlan:
        """Tell what a run of a template would do."""
        planned = await self._use_cases.plan_template(
            current_caller(),
            tenant_id=request.tenant_id,
            provider=request.provider,
            domain=request.domain,
            template_name=request.template_name,
            options=plan_options_from_proto(request),
        )
        return planned_to_proto(planned)

    async def GetRun(self, request: pb2.GetRunRequest, context: Context) -> run_pb2.Run:
        """Read a run."""
        run = await self._use_cases.get_run(
            current_caller(), pipeline_logging_id=request.pipeline_logging_id, tenant_id=request.tenant_id
        )
        return run_to_proto(run)

    async def WatchRun(self, request: pb2.WatchRunRequest, context: Context) -> AsyncIterator[run_pb2.Run]:
        """Stream a run's states."""
        runs = self._use_cases.watch_run(
            current_caller(), pipeline_logging_id=request.pipeline_logging_id, tenant_id=request.tenant_id
        )
        async with aclosing(runs):
            async for run in runs:
                yield run_to_proto(run)

    async def ListRuns(self, request: pb2.ListRunsRequest, context: Context) -> pb2.ListRunsResponse:
        """List a tenant's runs."""
        page = await self._use_cases.list_runs(
            current_caller(),
            tenant_id=request.tenant_id,
            wanted=filter_from_proto(request),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return runs_to_proto(page)

    async def CancelRun(self, request: pb2.CancelRunRequest, context: Context) -> run_pb2.Run:
        """Have a run stop."""
        run = await self._use_cases.cancel_run(
            current_caller(),
            pipeline_logging_id=request.pipeline_logging_id,
            tenant_id=request.tenant_id,
            request_id=request.request_id,
        )
        return run_to_proto(run)

    async def RetryRun(self, request: pb2.RetryRunRequest, context: Context) -> pb2.RunTemplateResponse:
        """Go on from a run that failed or was cancelled."""
        started = await self._use_cases.retry_run(
            current_caller(),
            pipeline_logging_id=request.pipeline_logging_id,
            tenant_id=request.tenant_id,
            trigger_by=request.trigger_by,
            request_id=request.request_id,
        )
        return started_to_proto(started)

    async def CancelRuns(self, request: pb2.CancelRunsRequest, context: Context) -> pb2.CancelRunsResponse:
        """Cancel a stopped tenant's runs."""
        cancelled = await self._use_cases.cancel_runs(current_caller(), tenant_id=request.tenant_id)
        return pb2.CancelRunsResponse(cancelled_count=cancelled)

    async def ListTemplates(self, request: pb2.ListTemplatesRequest, context: Context) -> pb2.ListTemplatesResponse:
        """List templates."""
        page = await self._use_cases.list_templates(page_size=request.page_size, page_token=request.page_token)
        return templates_to_proto(page)

    async def GetTemplate(self, request: pb2.GetTemplateRequest, context: Context) -> template_pb2.Template:
        """Read a template."""
        entry = await self._use_cases.get_template(
            provider=request.provider, domain=request.domain, template_name=request.template_name
        )
        return template_to_proto(entry)

    async def ReadTable(self, request: pb2.ReadTableRequest, context: Context) -> AsyncIterator[pb2.ReadTableResponse]:
        """Stream a published table's rows."""
        pages = self._use_cases.read_table(
            current_caller(),
            tenant_id=request.tenant_id,
            table=request.table,
            start_date=request.start_date,
            end_date=request.end_date,
            page_size=request.page_size,
        )
        async with aclosing(pages):
            async for page in pages:
                for message in await asyncio.to_thread(list, rows_to_proto(page)):  # a large page takes a second
                    yield message
        yield pb2.ReadTableResponse(complete=True)
