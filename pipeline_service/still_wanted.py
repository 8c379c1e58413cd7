"""Whether the run that an activity works for is still to go on, asked of the engine itself: an activity hears of a cancellation only with
its next heartbeat."""

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from common.errors import DependencyRefused, Unavailable
from pipeline_service.temporal_calls import CALL_TIMEOUT, engine_call


async def run_is_wanted() -> bool:
    """False once the engine has taken a cancellation of the activity's run, or somebody has ended it by hand. An engine that does not
    answer says nothing: True, as long as no heartbeat says otherwise."""
    info = activity.info()
    assert info.workflow_id is not None  # noqa: S101 - a step's activity belongs to a run
    handle = activity.client().get_workflow_handle(info.workflow_id, run_id=info.workflow_run_id)
    try:
        async with engine_call():
            described = await handle.describe(rpc_timeout=CALL_TIMEOUT)
    except (Unavailable, DependencyRefused):
        return True
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    is_cancelled = described.raw_description.workflow_extended_info.cancel_requested
    return described.status is WorkflowExecutionStatus.RUNNING and not is_cancelled
