"""The timeout of a step, which counts for each thing that it does by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeline_service.step_errors import StepFailed
from pipeline_service.steps.attempt import Attempt


@asynccontextmanager
async def within_timeout(attempt: Attempt, message: str) -> AsyncIterator[None]:
    """Cut off what takes longer than the step may. Raises StepFailed (STEP_TIMEOUT) with the message."""
    try:
        async with asyncio.timeout(attempt.step.timeout_seconds):
            yield
    except TimeoutError as error:
        raise StepFailed("STEP_TIMEOUT", message) from error
