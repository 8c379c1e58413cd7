"""How a template differs from its version that a tenant ran last."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from common.errors import InvalidInput
from common.templates.template import Template
from pipeline_service.engine import RunEngine
from pipeline_service.plan import Plan
from pipeline_service.planning import Planner
from pipeline_service.records import Records
from pipeline_service.run import Run
from pipeline_service.run_id import workflow_id_of

Change = Literal["UNCHANGED", "ADDED", "CHANGED", "REMOVED"]


@dataclass(frozen=True, slots=True)
class Difference:
    """The last run, and what became of each step since, by its id; None where that is not known."""

    last_run: Run
    changed: bool
    steps: Mapping[str, Change] | None


class LastRuns:
    """Finds a tenant's last run of a template, and compares."""

    def __init__(self, records: Records, engine: RunEngine, planner: Planner) -> None:
        self._records = records
        self._engine = engine
        self._planner = planner

    async def difference(self, template: Template, plan: Plan) -> Difference | None:
        """How the template differs from its last run's; None where the tenant has never run it. `plan` is what it is now. Raises Transient,
        Unavailable."""
        last_run = await self._records.last_run(plan.header.tenant_id, template.name)
        if last_run is None:
            return None
        if last_run.header.template_digest == template.digest:
            return Difference(
                last_run, changed=False, steps=dict.fromkeys((s.step_id for s in plan.steps), "UNCHANGED")
            )
        return Difference(last_run, changed=True, steps=await self._changes(template, plan, last_run))

    async def _changes(self, template: Template, plan: Plan, last_run: Run) -> Mapping[str, Change] | None:
        """What became of each step. Both versions are resolved with that run's parameters, so that other values make no difference; those
        that are new since then have the values of `plan`."""
        before = await self._plan_of(last_run)
        if before is None:
            return None
        values = {**plan.header.parameters, **last_run.header.parameters}
        taken = {name: value for name, value in values.items() if name in template.parameters}
        try:
            after = await self._planner.plan(
                template,
                tenant_id=plan.header.tenant_id,
                date=taken.pop("date", ""),
                parameters=taken,
                trigger_by=plan.header.trigger_by,
                principal=plan.header.principal,
            )
        except InvalidInput:
            return None
        return changes_between(before, after)

    async def _plan_of(self, run: Run) -> Plan | None:
        """The plan that a run was accepted with; None where the engine has it no more, or a later run in its place."""
        workflow_id = workflow_id_of(run.header.tenant_id, run.pipeline_logging_id)
        execution = await self._engine.find(workflow_id, run.pipeline_logging_id) if workflow_id is not None else None
        return None if execution is None else await self._engine.plan_of(execution)


def changes_between(before: Plan, after: Plan) -> Mapping[str, Change]:
    """What became of each step, by its id, the removed ones last."""
    known = {step.step_id: step for step in before.steps}
    changes: dict[str, Change] = {}
    for step in after.steps:
        earlier = known.pop(step.step_id, None)
        changes[step.step_id] = "ADDED" if earlier is None else "UNCHANGED" if earlier == step else "CHANGED"
    return {**changes, **dict.fromkeys(known, "REMOVED")}
