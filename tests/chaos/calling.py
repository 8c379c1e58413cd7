"""Callers of RunTemplate in processes of their own, who all call at the same moment."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from queue import Queue
from threading import Barrier

import grpc

from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from tests.chaos.replica import PAUSE_SECONDS
from tests.forking import forking
from tests.rpc.pipeline_stack import DAY

CALL_SECONDS, PATIENCE_SECONDS = 30.0, 90.0


@dataclass(frozen=True)
class Call:
    """What to ask for, as a tenant; without a request id each call has one of its own."""

    tenant_id: str
    key: str
    date: str = DAY
    note: str = "none"
    request_id: str = field(default="")

    def request(self) -> pb2.RunTemplateRequest:
        """The call as it goes out."""
        return pb2.RunTemplateRequest(
            tenant_id=self.tenant_id,
            provider="gcp",
            domain="test",
            template_name="daily",
            date=self.date,
            parameters={"note": self.note},
            request_id=self.request_id or str(uuid.uuid4()),
        )


@dataclass(frozen=True)
class Answer:
    """The run that a call led to."""

    pipeline_logging_id: str
    already_running: bool


async def from_processes(addresses: Sequence[str], call: Call, *, processes: int, each: int) -> list[Answer]:
    """Make the call `each` times from each process, on the addresses in turn: the answers of all. One that is UNAVAILABLE is repeated as it
    was; any other refusal fails the test."""
    barrier, answers = forking.Barrier(processes), forking.Queue()
    started = [
        forking.Process(target=_call, args=(tuple(addresses), call, each, barrier, answers), daemon=True)
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    try:
        gathered = [await asyncio.to_thread(answers.get, timeout=2 * PATIENCE_SECONDS) for _ in started]
    finally:
        for process in started:
            process.join(PATIENCE_SECONDS)
    refusals = [answer for of_one in gathered for answer in of_one if isinstance(answer, str)]
    assert not refusals, refusals
    return [answer for of_one in gathered for answer in of_one if isinstance(answer, Answer)]


def _call(
    addresses: Sequence[str], call: Call, each: int, barrier: Barrier, answers: "Queue[list[Answer | str]]"
) -> None:
    """The process."""
    answers.put(asyncio.run(_calls(addresses, call, each, barrier)))


async def _calls(addresses: Sequence[str], call: Call, each: int, barrier: Barrier) -> list[Answer | str]:
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(address)) for address in addresses]
        for channel in channels:
            await channel.channel_ready()
        barrier.wait(PATIENCE_SECONDS)
        return await asyncio.gather(*(_answer(channels[number % len(channels)], call) for number in range(each)))


async def _answer(channel: grpc.aio.Channel, call: Call) -> Answer | str:
    """The answer, or the text of a refusal."""
    request, metadata = call.request(), (("x-api-key", call.key),)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    answer = await PipelineServiceStub(channel).RunTemplate(
                        request, metadata=metadata, timeout=CALL_SECONDS
                    )
                    return Answer(answer.pipeline_logging_id, answer.already_running)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                await asyncio.sleep(PAUSE_SECONDS)
    except (grpc.aio.AioRpcError, TimeoutError) as error:
        return repr(error)
