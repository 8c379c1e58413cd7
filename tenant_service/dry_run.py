"""The dry run that proves an onboarding: the new tenant runs a template through PipelineService with its own new key."""

import asyncio
from typing import Literal, Protocol

from common.clock import Clock
from common.errors import Unavailable
from common.secret import Secret
from common.templates.template import TemplateName

DryRunStatus = Literal["SUCCESS", "FAILED", "NOT_RUN"]

WAIT_SECONDS = 30.0


class PipelineRunner(Protocol):
    """Runs a template and waits for its end."""

    async def run_to_end(self, api_key: Secret, tenant_id: str, template: TemplateName, *, date: str) -> bool:
        """Whether the run completed. Raises Unavailable when the service is away or refuses for now."""
        ...


class DryRun:
    """Runs the dry-run template for a new tenant, once."""

    def __init__(self, runner: PipelineRunner, template: TemplateName, clock: Clock) -> None:
        self._runner = runner
        self._template = template
        self._clock = clock

    async def run(self, tenant_id: str, api_key: Secret) -> DryRunStatus:
        """SUCCESS or FAILED as the run ended, FAILED when it has not after 30 s, NOT_RUN when PipelineService is away."""
        date = self._clock.now().date().isoformat()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                completed = await self._runner.run_to_end(api_key, tenant_id, self._template, date=date)
        except Unavailable:
            return "NOT_RUN"
        except TimeoutError:
            return "FAILED"
        return "SUCCESS" if completed else "FAILED"
