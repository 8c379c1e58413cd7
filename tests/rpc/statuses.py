"""What a refused call says: its status and the google.rpc details behind it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True)
class Refusal:
    """A refused call, unpacked."""

    code: str
    reason: str
    fields: tuple[str, ...]
    metadata: dict[str, str]
    retry: bool
    wire: bytes


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Unpack an error's details."""
    status = rpc_status.from_call(error)
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    has_retry = False
    for detail in status.details:
        has_retry |= detail.Unpack(retry)
        detail.Unpack(info)
        detail.Unpack(bad)
    fields = tuple(violation.field for violation in bad.field_violations)
    wire = status.SerializeToString(deterministic=True)
    return Refusal(error.code().name, info.reason, fields, dict(info.metadata), has_retry, wire)


async def refused(call: Awaitable[Any]) -> Refusal:
    """Await a call that must be refused; a stream is read to its end."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _to_its_end(call)
    return refusal_of(caught.value)


Outcome = tuple[str, str]
"""A call's code and reason; the reason of one that succeeded is empty."""
ANSWERED: Outcome = ("OK", "")


async def until(call: Callable[[], Awaitable[Any]], expected: Outcome, *, seconds: float) -> set[Outcome]:
    """Repeat a call until it ends as expected; how it ended before that."""
    seen: set[Outcome] = set()
    async with asyncio.timeout(seconds):
        while (outcome := await outcome_of(call())) != expected:
            seen.add(outcome)
            await asyncio.sleep(0.02)
    return seen


async def outcome_of(call: Awaitable[Any]) -> Outcome:
    """How a call ends; a stream is read to its end."""
    try:
        await _to_its_end(call)
    except grpc.aio.AioRpcError as error:
        refusal = refusal_of(error)
        return refusal.code, refusal.reason
    return ANSWERED


async def _to_its_end(call: Any) -> None:
    if not hasattr(call, "__aiter__"):
        await call
        return
    async for _ in call:
        pass
