"""What a refused call says: its status and the google.rpc details behind it."""

from collections.abc import Awaitable
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


async def _to_its_end(call: Any) -> None:
    if not hasattr(call, "__aiter__"):
        await call
        return
    async for _ in call:
        pass
