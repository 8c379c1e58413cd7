"""How a call works through many tenants: some at a time, and told of each as it is done."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

import structlog

from common.errors import (
    AccessRefused,
    ConvergenceError,
    TenantNotFound,
    TenantNotReady,
    Transient,
    Unavailable,
    WarehouseError,
)
from common.fields import Fields
from common.tenants.tenant import MARK, State, TenantRecord, tenant_of
from common.warehouse.warehouse import Warehouse
from tenant_service.get_tenant import find_tenant

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 4
"""Tenants that one call works on at a time."""

_log = structlog.get_logger(__name__)


async def named_or_all(warehouse: Warehouse, tenant_id: str, *, states: frozenset[State]) -> Sequence[TenantRecord]:
    """The one tenant that a request names or, where it names none, all that are in one of `states`.

    Raises InvalidInput, Transient and, where the one that is named is in none of them, TenantNotReady or TenantNotFound.
    """
    if tenant_id:
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.require_valid()
        tenant = await find_tenant(warehouse, tenant_id)
        if tenant.state in states:
            return [tenant]
        raise TenantNotReady if tenant.state == "creating" else TenantNotFound
    found = (tenant_of(dataset) for dataset in await warehouse.list_datasets(label=MARK))
    return [tenant for tenant in found if tenant is not None and tenant.state in states]


async def as_done(
    items: Iterable[Item], work: Callable[[Item], Coroutine[Any, Any, Result]], *, at_once: int = AT_ONCE
) -> AsyncGenerator[Result, None]:
    """Do the work of every item, at most `at_once` at a time, and yield results in the order in which they are ready.

    `items` are taken one by one as their turn comes. Who stops listening stops the work. What `work` raises ends all of it.
    """
    waiting = iter(items)
    running: set[asyncio.Task[Result]] = set()
    try:
        while True:
            for item in islice(waiting, at_once - len(running)):
                running.add(asyncio.create_task(work(item)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def failure_reason(error: Exception, *, tenant_id: str) -> str:
    """The name of an ErrorReason for what went wrong with one tenant. The log has the detail, which is not for the caller."""
    _log.error("a tenant was not done to its end", tenant_id=tenant_id, exc_info=error)
    if isinstance(error, Transient):
        return Unavailable.reason
    of_statement = isinstance(error, WarehouseError) and not isinstance(error, AccessRefused)
    return error.reason if isinstance(error, ConvergenceError) and not of_statement else ConvergenceError.reason
