"""What an ordinary user of Temporal would write: three activities, one after the other."""

from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def bare_activity() -> None:
    """Do nothing."""


@workflow.defn
class BareWorkflow:
    """Nothing but the activities."""

    @workflow.run
    async def run(self) -> None:
        """One after the other."""
        for _ in range(3):
            await workflow.execute_activity(bare_activity, start_to_close_timeout=timedelta(seconds=60))
