"""Every call to Temporal: bounded in time, its errors translated once, its payloads encoded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import TypeVar, cast

from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from common.errors import DependencyRefused, Unavailable

T = TypeVar("T")

CALL_TIMEOUT = timedelta(seconds=5)

_AWAY = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.ABORTED,
)
_REFUSED = (RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED)


@asynccontextmanager
async def engine_call(timeout: timedelta = CALL_TIMEOUT) -> AsyncIterator[None]:
    """Bound the calls made inside. Raises Unavailable, DependencyRefused; other answers of the engine pass as RPCError."""
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            yield
    except TimeoutError as error:
        raise Unavailable("The run engine is away; nothing is half done") from error
    except RPCError as error:
        if error.status in _AWAY:
            raise Unavailable("The run engine is away; nothing is half done") from error
        if error.status in _REFUSED:
            raise DependencyRefused("The run engine refuses this service: an operator has to act") from error
        raise


@asynccontextmanager
async def unless_answered(status: RPCStatusCode) -> AsyncIterator[None]:
    """Leave the block where the engine answers with this status."""
    try:
        yield
    except RPCError as error:
        if error.status is not status:
            raise


def unless_not_found() -> AbstractAsyncContextManager[None]:
    """Leave the block where the engine has no such workflow, or has it no more, or it has ended."""
    return unless_answered(RPCStatusCode.NOT_FOUND)


async def running(client: Client, id_prefix: str, *, workflow_type: str | None = None) -> list[WorkflowExecution]:
    """The workflows that run under ids with this prefix, `[a-z0-9_/]+`, all or those of one type. Raises Unavailable. The engine lists a
    workflow a moment after its start, and as running until a moment after its end."""
    query = f"ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '{id_prefix}'"
    if workflow_type is not None:
        query += f" AND WorkflowType = '{workflow_type}'"
    listed = client.list_workflows(query, rpc_timeout=CALL_TIMEOUT)
    found: list[WorkflowExecution] = []
    while True:
        async with engine_call():
            await listed.fetch_next_page()
        found += listed.current_page or ()
        if not listed.next_page_token:
            return found


async def encode(client: Client, value: object) -> Payload:
    """A value as the engine keeps it."""
    return (await client.data_converter.encode([value]))[0]


async def decode(client: Client, payload: Payload, value_type: type[T]) -> T:
    """A value that the engine kept."""
    return cast("T", (await client.data_converter.decode([payload], [value_type]))[0])
