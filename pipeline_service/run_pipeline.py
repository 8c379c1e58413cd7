"""RunPipeline (deprecated): RunTemplate by a pipeline id."""

from common.fields import Fields
from common.ids import PATH_NAME, TEMPLATE_NAME, tenant_id_problem
from common.rpc.caller import Caller
from common.templates.template import TemplateName
from pipeline_service.engine import Started
from pipeline_service.run_template import RunOptions, RunTemplate


class RunPipeline:
    """The use case."""

    def __init__(self, run_template: RunTemplate) -> None:
        self._run_template = run_template

    async def __call__(self, caller: Caller, *, pipeline_id: str, options: RunOptions) -> Started:
        """Take `{tenant_id}-{provider}-{domain}-{template_name}` apart and run it. Raises what RunTemplate raises."""
        fields = Fields()
        fields.check("pipeline_id", pipeline_id, _problem)
        options.check(fields)
        fields.require_valid()
        tenant_id, *template = pipeline_id.split("-", 3)
        return await self._run_template.start(caller, tenant_id, TemplateName(*template), options)


def _problem(pipeline_id: str) -> str | None:
    # Only the last part may hold a hyphen, so the id splits in one way.
    match pipeline_id.split("-", 3):
        case [tenant_id, provider, domain, template_name] if (
            tenant_id_problem(tenant_id) is None
            and PATH_NAME.fullmatch(provider)
            and PATH_NAME.fullmatch(domain)
            and TEMPLATE_NAME.fullmatch(template_name)
        ):
            return None
    return "must be {tenant_id}-{provider}-{domain}-{template_name}"
