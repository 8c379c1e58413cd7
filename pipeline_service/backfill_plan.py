"""The immutable plan of a backfill: what the engine keeps of it. Each day's plan is made from it as the day starts, so that it holds the
template as it was, whatever happens to the file meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from pydantic import TypeAdapter

from common.errors import PlanTooLarge, Violation
from common.templates.load import load_template
from common.templates.template import Template, TemplateName
from pipeline_service.backfill import Backfill
from pipeline_service.plan import MAX_PLAN_BYTES
from pipeline_service.run import RunHeader, RunState
from pipeline_service.run_id import backfill_workflow_id_for


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """What one backfill does. The header's `parameters` are what every day's resolved ones have in common: all but `date`.

    `given` are the parameters as the caller gave them, `accepted_on` is the day of acceptance, for defaults that are relative to it.
    `backfill` tells of every day where it stands before anything has happened: those that the backfill before has done stay as they are,
    and one that failed names its run, from which it goes on. `first_look_seconds` after the start it is looked at the days that are active,
    in case a run was ended by hand and could not tell; each pause after that is twice the one before, so that a backfill of months looks a
    few times and keeps its history short.
    """

    header: RunHeader
    backfill: Backfill
    template_text: str = field(repr=False)
    given: Mapping[str, str]
    accepted_on: str
    first_look_seconds: float = 60.0

    def require_fitting(self) -> None:
        """Raises PlanTooLarge where the engine does not take it."""
        size = len(_PLAN.dump_json(self))
        if size > MAX_PLAN_BYTES:
            text = f"give, with the template's text, a plan of {size} bytes; at most {MAX_PLAN_BYTES} are taken"
            raise PlanTooLarge([Violation("parameters", text)])

    def template(self) -> Template:
        """The template as it was accepted. Raises DoesNotLoad where this release does not take it any more."""
        return load_template(self.template_text.encode(), TemplateName(*self.header.pipeline_id.split("-", 3)[1:]))

    @property
    def today(self) -> date:
        """The day in UTC on which it was accepted."""
        return date.fromisoformat(self.accepted_on)

    def first_state(self) -> RunState:
        """Where it stands before anything has happened."""
        return RunState((), backfill=self.backfill)

    @property
    def workflow_id(self) -> str:
        """The workflow that runs it: the one of all backfills of the template for the tenant, so that one is active at a time."""
        return backfill_workflow_id_for(self.header.tenant_id, self.header.pipeline_id)

    @property
    def why_alone(self) -> str:
        """Why no other one of its workflow may be active beside it."""
        return "A template has one backfill at a time"


_PLAN = TypeAdapter(BackfillPlan)
