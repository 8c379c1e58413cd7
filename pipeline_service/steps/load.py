"""The step `load`: stage the rows of files, check them, and only then publish them in the way that the step names."""

from contextlib import nullcontext

from common.warehouse.warehouse import Destination, LoadJob, Warehouse
from pipeline_service.locations import Locations
from pipeline_service.plan import PlanLoad
from pipeline_service.steps.attempt import STAGE, Attempt
from pipeline_service.steps.publication import Publication


class LoadExecutor:
    """Executes `load` steps, as long as the settings allow for where the files lie: the plan lay in the engine meanwhile."""

    def __init__(self, warehouse: Warehouse, locations: Locations, publication: Publication) -> None:
        self._warehouse = warehouse
        self._locations = locations
        self._publication = publication

    async def run(self, attempt: Attempt, load: PlanLoad) -> None:
        """Raises LocationNotAllowed, StepFailed (CHECK_FAILED, STEP_TIMEOUT) and what the warehouse raises, Terminal for no files
        (SOURCE_FILES_MISSING) or malformed ones (LOAD_FAILED). Nothing is published then."""
        self._locations.require_allowed(load.uri, attempt.run.tenant_id)

        def job(number: int, destination: Destination, _: int | None) -> LoadJob:
            return LoadJob(
                attempt.job_id(STAGE, number),
                load.uri,
                load.format,
                load.columns,
                destination,
                load.csv,
                attempt.labels,
                attempt.step.timeout_seconds,
            )

        await self._publication.run(attempt, load, job, nullcontext(self._warehouse))
