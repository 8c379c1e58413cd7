"""How long workflows give an attempt at an activity, and when they have it made again."""

from datetime import timedelta

from temporalio.common import RetryPolicy

ATTEMPT = timedelta(minutes=1)
"""For what is done in a moment."""
HEARTBEAT_TIMEOUT = timedelta(seconds=5)
"""How long after its worker's death an activity goes on elsewhere."""
UNTIL_DONE = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
"""For what somebody waits for."""
UNTIL_RECORDED = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=30))
