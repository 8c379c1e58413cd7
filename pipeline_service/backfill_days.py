"""The plan of one day of a backfill, made from what the engine keeps of the backfill."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace

from common.errors import RunNotFound, TemplateInvalid
from common.templates.template import Template
from common.templates.yaml_source import DoesNotLoad
from pipeline_service.backfill_messages import BackfillRef
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.engine import RunEngine
from pipeline_service.get_run import GetRun
from pipeline_service.going_on import plan_going_on
from pipeline_service.plan import Plan
from pipeline_service.planning import Planner
from pipeline_service.run import RunHeader, RunStatus

_KEPT = 8
"""Backfills whose template is kept loaded: at most 1 MB of text each."""


@dataclass(frozen=True, slots=True)
class KeptBackfill:
    """A backfill's plan and, loaded, its template."""

    plan: BackfillPlan
    template: Template


class BackfillDays:
    """Makes plans of days, with the template and the parameters that were accepted and the tenant's grants of the moment."""

    def __init__(self, engine: RunEngine, planner: Planner, get_run: GetRun) -> None:
        self._engine = engine
        self._planner = planner
        self._get_run = get_run
        self._kept: OrderedDict[str, KeptBackfill] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def backfill(self, ref: BackfillRef) -> KeptBackfill:
        """Raises TemplateInvalid, Unavailable."""
        async with self._one_at_a_time:
            kept = self._kept.get(ref.engine_run_id)
            if kept is None:
                kept = self._kept[ref.engine_run_id] = await self._read(ref)
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(ref.engine_run_id)
            return kept

    async def plan(self, ref: BackfillRef, date: str) -> Plan:
        """The plan of a day's run: of one that goes on from the day's last, if the backfill goes on from another and the engine has that
        run, and of a new one otherwise.

        Raises TemplateInvalid, InvalidInput, TableNotAllowed, SourceNotGranted, PlanTooLarge, Transient, Unavailable.
        """
        kept = await self.backfill(ref)
        header = kept.plan.header
        failed_run = kept.plan.backfill.day(date).pipeline_logging_id
        plan = await self._going_on(header, failed_run) if failed_run else None
        if plan is None:
            plan = await self._planner.plan(
                kept.template,
                tenant_id=header.tenant_id,
                date=date,
                parameters=kept.plan.given,
                trigger_by=header.trigger_by,
                principal=header.principal,
                today=kept.plan.today,
            )
        return replace(plan, header=replace(plan.header, backfill_of=ref.pipeline_logging_id))

    async def _going_on(self, backfill: RunHeader, failed_run: str) -> Plan | None:
        """The plan of a run that goes on from this one as the backfill does; None where that is not possible."""
        try:
            located = await self._get_run.find(backfill.tenant_id, failed_run)
        except RunNotFound:  # ended by hand before it was recorded, and long ago
            return None
        ended = located.run.state.status in (RunStatus.FAILED, RunStatus.CANCELLED)
        plan = await plan_going_on(self._engine, located.execution) if ended and located.execution else None
        if plan is None:
            return None
        whose = replace(plan.header, trigger_by=backfill.trigger_by, principal=backfill.principal)
        return self._planner.bounded(replace(plan, header=whose))

    async def _read(self, ref: BackfillRef) -> KeptBackfill:
        plan = await self._engine.backfill_plan_of(ref)
        if plan is None:
            raise TemplateInvalid("The engine has the backfill no more")
        try:
            return KeptBackfill(plan, await asyncio.to_thread(plan.template))
        except DoesNotLoad as error:
            raise TemplateInvalid(
                "This release does not take the template as it was accepted", metadata={"problem": str(error)}
            ) from error
