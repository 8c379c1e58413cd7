"""Sixty-four concurrent callers in four processes, on two replicas in processes of their own: one run."""

import uuid
from dataclasses import replace

import grpc
import pytest

from common.warehouse.warehouse import TableRef
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from tests.chaos.calling import Call, from_processes
from tests.chaos.evidence import assert_done_once
from tests.chaos.fate import Fate
from tests.chaos.installation import Installation, caller
from tests.chaos.sizes import FULL
from tests.rpc.statuses import refused

PROCESSES, EACH = 4, 16
ROUNDS = 10 if FULL else 1


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_sixty_four_callers_in_four_processes_get_one_run(place: Installation, number: int) -> None:
    tenant = await place.onboard()
    replicas = place.pair()
    addresses = [replica.address for replica in replicas]
    let_go = place.folder / f"let-go-{number}"
    for replica in replicas:
        await replica.start(Fate(slow_until=let_go))

    call = Call(tenant.tenant_id, tenant.key, note=f"round {number}")
    answers = await from_processes(addresses, call, processes=PROCESSES, each=EACH)
    assert len({answer.pipeline_logging_id for answer in answers}) == 1
    # One that repeats what was UNAVAILABLE is told of the run as if it had started it, where it may have.
    assert {answer.already_running for answer in answers} == {False, True}
    let_go.touch()
    async with caller(tenant, *replicas) as patient:
        await assert_done_once(place, tenant, await patient.end_of(answers[0].pipeline_logging_id))
    assert len(await place.warehouse.list_rows(TableRef(tenant.tenant_id, "pipeline_runs"))) == 1


async def test_a_request_id_leads_to_one_run_whoever_repeats_it_and_whatever_ran_since(place: Installation) -> None:
    tenant = await place.onboard()
    replicas = place.pair()
    addresses = [replica.address for replica in replicas]
    for replica in replicas:
        await replica.start()

    call = Call(tenant.tenant_id, tenant.key, request_id=str(uuid.uuid4()))
    answers = await from_processes(addresses, call, processes=PROCESSES, each=EACH)
    [first] = set(answers)
    async with caller(tenant, *replicas) as patient:
        await patient.end_of(first.pipeline_logging_id)
    for _ in range(2):
        assert set(await from_processes(addresses, call, processes=2, each=2)) == {first}
        [later] = set(await from_processes(addresses, replace(call, request_id=""), processes=1, each=1))
        assert later.pipeline_logging_id != first.pipeline_logging_id
        async with caller(tenant, *replicas) as patient:
            await patient.end_of(later.pipeline_logging_id)

    for address in addresses:
        for other in (replace(call, note="another"), replace(call, date="2025-11-16")):
            async with grpc.aio.insecure_channel(address) as channel:
                refusal = await refused(
                    PipelineServiceStub(channel).RunTemplate(
                        other.request(), metadata=(("x-api-key", tenant.key),), timeout=30
                    )
                )
            assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert len(await place.warehouse.list_rows(TableRef(tenant.tenant_id, "pipeline_runs"))) == 3
