"""Many callers at once, on two replicas: one run for each tenant, template and resolved parameters, and everything recorded once."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from common.warehouse.warehouse import TableRef, Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import DAY, TEMPLATES, PipelineStack, configs_with, pipeline_stack
from tests.rpc.statuses import Refusal, refusal_of, refused
from tests.rpc.tenant_stack import tenant_stack
from tests.warehouses import LocalServer

CALLERS = 64
WATCHERS = 64
PATIENCE_SECONDS = 60
SINGLE = """
description: One run at a time
exclusive: true
parameters:
  date: {type: date, required: true}
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{source.export}` WHERE day = @date
    destination: {table: cost, write: replace_partition, partition: {column: day, value: "{date}"}, clustering: [service]}
"""
RECORDED_PER_RUN = {"pipeline_runs": 1, "step_logs": 2, "dq_results": 4}


@dataclass
class Replicas:
    """Two PipelineServices with a worker each, on one engine and one warehouse."""

    stacks: list[PipelineStack]
    warehouse: HeldWarehouse

    async def start_all(self, calls: list[tuple[str, Any, dict[str, Any]]]) -> list[pb2.RunTemplateResponse]:
        """Make all calls at once, on the replicas in turn, while no run can end."""
        self.warehouse.hold()
        try:
            return await asyncio.gather(
                *(
                    self.stacks[number % len(self.stacks)].start(tenant_id, key, **fields)
                    for number, (tenant_id, key, fields) in enumerate(calls)
                )
            )
        finally:
            self.warehouse.release()


@pytest.fixture
async def replicas(local_server: LocalServer, temporal_address: str, tmp_path: Path) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        warehouse = local_server.connect()
        stack.push_async_callback(warehouse.close)
        held = HeldWarehouse(warehouse)
        adapter = cast("Warehouse", held)
        tenants = await stack.enter_async_context(tenant_stack(tmp_path, adapter))
        templates = {**TEMPLATES, "single": SINGLE}
        options = {"configs_dir": configs_with(tmp_path, templates), "temporal_task_queue": uuid.uuid4().hex}
        opened = [pipeline_stack(tmp_path, adapter, tenants, temporal_address, **options) for _ in range(2)]
        yield Replicas([await stack.enter_async_context(one) for one in opened], held)
        held.release()


async def test_sixty_four_callers_get_one_run_for_each_set_of_parameters(replicas: Replicas) -> None:
    first, second = replicas.stacks
    tenants = [await first.onboard(), await second.onboard()]
    wanted: list[tuple[str, Any, dict[str, Any]]] = [
        (tenant_id, key, {"date": day, "parameters": {"note": note}})
        for tenant_id, key in tenants
        for day in (DAY, "2025-11-16")
        for note in ("a", "b")
    ]
    answers = await replicas.start_all(wanted * (CALLERS // len(wanted)))
    ids = [{answer.pipeline_logging_id for answer in answers[number :: len(wanted)]} for number in range(len(wanted))]
    assert {len(of_one) for of_one in ids} == {1}, "all callers of one set of parameters get the same run"
    assert len(set.union(*ids)) == len(wanted), "callers of different parameters get different runs"
    assert Counter(answer.already_running for answer in answers) == {False: len(wanted), True: CALLERS - len(wanted)}

    for (_, key, fields), (run_id,) in zip(wanted, ids, strict=True):
        run = await second.end_of(key, run_id)
        assert run.status == run_pb2.Run.COMPLETE, run
        assert run.parameters == {"date": fields["date"], **fields["parameters"]}
    for tenant_id, key in tenants:
        for table, rows_per_run in RECORDED_PER_RUN.items():
            recorded = Counter(
                row["pipeline_logging_id"] for row in await first.warehouse.list_rows(TableRef(tenant_id, table))
            )
            assert recorded == {
                run_id: rows_per_run for (owner, _, _), (run_id,) in zip(wanted, ids, strict=True) if owner == tenant_id
            }, table
        assert [row["cost"] for row in await first.rows(tenant_id, key)] == ["1.123456789", "2", "8"]


async def test_sixteen_concurrent_calls_start_one_run_and_all_get_its_id(replicas: Replicas) -> None:
    tenant_id, key = await replicas.stacks[0].onboard()
    answers = await replicas.start_all([(tenant_id, key, {})] * 16)
    assert len({answer.pipeline_logging_id for answer in answers}) == 1
    assert Counter(answer.message for answer in answers) == {
        "Already running: returning the active run": 15,
        "Templated pipeline triggered successfully": 1,
    }


async def test_sixteen_concurrent_calls_with_one_request_id_get_one_answer_for_ever(replicas: Replicas) -> None:
    first, second = replicas.stacks
    tenant_id, key = await first.onboard()
    fields = {"request_id": str(uuid.uuid4())}
    answers = await replicas.start_all([(tenant_id, key, fields)] * 16)
    (run_id,) = {answer.pipeline_logging_id for answer in answers}
    await first.end_of(key, run_id)
    later = await second.run(tenant_id, key)
    assert later.pipeline_logging_id != run_id, "without the request id the same parameters run anew"
    assert (await second.start(tenant_id, key, **fields)).pipeline_logging_id == run_id
    assert len(await first.warehouse.list_rows(TableRef(tenant_id, "pipeline_runs"))) == 2


async def test_a_request_id_is_a_tenants_own(replicas: Replicas) -> None:
    request_id = str(uuid.uuid4())
    tenants = [await replicas.stacks[0].onboard() for _ in range(2)]
    answers = await replicas.start_all([(*tenant, {"request_id": request_id}) for tenant in tenants])
    assert len({answer.pipeline_logging_id for answer in answers}) == 2
    for (tenant_id, key), answer in zip(tenants, answers, strict=True):
        assert answer.pipeline_id == f"{tenant_id}-gcp-test-daily"
        refusal = await refused(replicas.stacks[1].start(tenant_id, key, date="2025-11-16", request_id=request_id))
        assert (refusal.code, refusal.reason, refusal.fields) == (
            "INVALID_ARGUMENT",
            "REQUEST_ID_REUSED",
            ("request_id",),
        )


async def test_many_watchers_on_both_replicas_see_one_run_to_its_end(replicas: Replicas) -> None:
    tenant_id, key = await replicas.stacks[0].onboard()
    replicas.warehouse.hold()
    started = await replicas.stacks[0].start(tenant_id, key)
    await replicas.warehouse.waiting.wait()
    watching = [
        asyncio.create_task(replicas.stacks[number % 2].end_of(key, started.pipeline_logging_id))
        for number in range(WATCHERS)
    ]
    replicas.warehouse.release()
    ends = await asyncio.gather(*watching)
    assert all(end == ends[0] for end in ends)
    assert ends[0].status == run_pb2.Run.COMPLETE


async def test_sixty_four_callers_of_an_exclusive_template_get_one_run_or_are_told_of_it(replicas: Replicas) -> None:
    first, second = replicas.stacks
    tenant_id, key = await first.onboard()
    request_ids = [str(uuid.uuid4()) for _ in range(CALLERS)]
    days = [(DAY, "2025-11-16")[number // 2 % 2] for number in range(CALLERS)]

    async def call(number: int) -> str | Refusal:
        fields = {"date": days[number], "request_id": request_ids[number] if number % 4 else ""}
        while True:
            try:
                started = await replicas.stacks[number % 2].start(tenant_id, key, "single", **fields)
                return started.pipeline_logging_id
            except grpc.aio.AioRpcError as error:
                refusal = refusal_of(error)
                if refusal.code != "UNAVAILABLE":  # of a busy machine's engine: the same call is to be made again
                    return refusal

    replicas.warehouse.hold()
    answers = await asyncio.gather(*map(call, range(CALLERS)))
    (run_id,) = {answer for answer in answers if isinstance(answer, str)}
    (day,) = {day for day, answer in zip(days, answers, strict=True) if isinstance(answer, str)}
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert len(refusals) == CALLERS // 2
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {("ABORTED", "PIPELINE_BUSY")}
    assert all(refusal.metadata == {"pipeline_logging_id": run_id} for refusal in refusals)
    assert all(f"and {run_id} is active".encode() in refusal.wire for refusal in refusals)
    replicas.warehouse.release()
    assert (await second.end_of(key, run_id)).parameters == {"date": day}

    other = next(number for number in range(CALLERS) if days[number] != day and number % 4)
    (again, same) = await call(other), await call(other)
    assert isinstance(again, str)
    assert same == again != run_id, "a refusal is no answer to a request id"
    assert (await first.end_of(key, again)).status == run_pb2.Run.COMPLETE
    assert len(await first.warehouse.list_rows(TableRef(tenant_id, "pipeline_runs"))) == 2


async def test_sixty_four_callers_get_one_backfill_and_each_of_its_days_runs_once(replicas: Replicas) -> None:
    first, second = replicas.stacks
    tenant_id, key = await first.onboard()
    request = pb2.BackfillTemplateRequest(
        tenant_id=tenant_id, provider="gcp", domain="test", template_name="daily", start_date=DAY, end_date="2025-11-16"
    )

    async def call(stack: PipelineStack) -> pb2.RunTemplateResponse:
        """As every caller does, again where the engine had too much to do with all the others."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    answer: pb2.RunTemplateResponse = await stack.stub.BackfillTemplate(
                        request, metadata=key, timeout=30
                    )
                    return answer
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise

    replicas.warehouse.hold()
    try:
        answers = await asyncio.gather(*(call(stack) for stack in (first, second) for _ in range(CALLERS // 2)))
    finally:
        replicas.warehouse.release()
    (run_id,) = {answer.pipeline_logging_id for answer in answers}
    assert sum(not answer.already_running for answer in answers) <= 1
    ended = await second.end_of(key, run_id)
    assert ended.status == run_pb2.Run.COMPLETE, ended
    run_ids = {day.pipeline_logging_id for day in ended.backfill.days}
    assert len(run_ids) == 2
    for table, rows_per_run in RECORDED_PER_RUN.items():
        rows = await first.warehouse.list_rows(TableRef(tenant_id, table))
        recorded = Counter(row["pipeline_logging_id"] for row in rows if row["pipeline_logging_id"] != run_id)
        assert recorded == dict.fromkeys(run_ids, rows_per_run), table
