"""What is done to a tenant is recorded before and after, and not done where it cannot be recorded. On both warehouses."""

import pytest
import structlog

from common.errors import (
    ConvergenceError,
    KeyNotFound,
    TenantNotFound,
    TenantNotReady,
    Terminal,
    Transient,
    Unavailable,
)
from common.rpc.caller import Caller
from common.tenants.tenant import State
from tenant_service.acts import Turn
from tenant_service.list_audit_records import ListAuditRecords
from tests.refusing_warehouse import RefusingWarehouse
from tests.unit.tenant_service.acts_world import ADMIN, World, new_tenant, noting, request_id, schema_over


@pytest.mark.parametrize("given", [None, request_id()], ids=["without request_id", "with request_id"])
async def test_an_act_is_recorded_before_it_is_done_and_again_when_it_has_ended(
    world: World, given: str | None
) -> None:
    async def done(turn: Turn) -> str:
        assert ("ATTEMPT", None, None) in await world.phases()
        assert not [row for row in await world.rows() if row["phase"] == "OUTCOME"]
        await world.clock.advance(1)
        return turn.tenant.tenant_id

    act = world.act(resource="key_2", request_id=given or "")
    with structlog.contextvars.bound_contextvars(correlation_id="together"), structlog.testing.capture_logs() as logs:
        assert await world.acts().do(Caller("key_1", world.tenant_id), act, done) == world.tenant_id

    attempt, outcome = [row for row in await world.rows() if row["phase"] != "CLAIM"]
    assert (attempt["phase"], outcome["phase"], outcome["outcome"], outcome["reason"]) == (
        "ATTEMPT",
        "OUTCOME",
        "OK",
        None,
    )
    for row in (attempt, outcome):
        assert row["method"] == "/convergence.tenant.v1.TenantService/CreateKey"
        assert (row["tenant_id"], row["principal"], row["resource"]) == (world.tenant_id, "key_1", "key_2")
        assert (row["audit_id"], row["correlation_id"]) == (attempt["audit_id"], "together")
    told = [
        (log["phase"], log["outcome"], log["audit_id"], log["tenant_id"]) for log in logs if log["event"] == "audit"
    ]
    assert told == [
        ("ATTEMPT", None, attempt["audit_id"], world.tenant_id),
        ("OUTCOME", "OK", attempt["audit_id"], world.tenant_id),
    ]


@pytest.mark.parametrize("error", [Transient("away"), Terminal("refused")], ids=["away", "refused"])
@pytest.mark.parametrize(("given", "part"), [("", "_attempt"), (request_id(), "claim_")], ids=["without id", "with id"])
async def test_what_cannot_be_recorded_is_not_done(
    world: World, error: ConvergenceError, given: str, part: str
) -> None:
    turns: list[Turn] = []
    refusing = RefusingWarehouse(world.warehouse, part, error, clock=world.clock)
    with structlog.testing.capture_logs() as logs, pytest.raises(Unavailable):
        await world.acts(refusing).do(ADMIN, world.act(request_id=given), noting(turns))
    assert (turns, await world.rows()) == ([], [])
    assert [(log["phase"], log["outcome"]) for log in logs if log["event"] == "audit"] == [
        ("ATTEMPT", None),
        ("OUTCOME", "UNAVAILABLE"),
    ]


async def test_an_outcome_that_cannot_be_recorded_takes_no_answer_back(world: World) -> None:
    refusing = RefusingWarehouse(world.warehouse, "_outcome", Transient("away"), clock=world.clock)
    with structlog.testing.capture_logs() as logs:
        assert await world.acts(refusing).do(ADMIN, world.act(), noting([])) == "done"
    assert await world.phases() == [("ATTEMPT", None, None)]
    assert [log["error"] for log in logs if log["event"] == "an outcome is not recorded"] == ["Transient"]


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (KeyNotFound(), "NOT_FOUND", "KEY_NOT_FOUND"),
        (Transient("away"), "UNAVAILABLE", "STATEMENT_FAILED"),
        (ZeroDivisionError("secret"), "INTERNAL", "INTERNAL"),
    ],
    ids=["refused", "away", "unforeseen"],
)
async def test_a_failed_act_is_recorded_with_its_status_and_reason(
    world: World, error: Exception, outcome: str, reason: str
) -> None:
    async def fail(turn: Turn) -> str:
        raise error

    with pytest.raises(type(error)):
        await world.acts().do(ADMIN, world.act(), fail)
    assert await world.phases() == [("ATTEMPT", None, None), ("OUTCOME", outcome, reason)]


@pytest.mark.parametrize(
    ("state", "error"), [("creating", TenantNotReady), ("deleting", TenantNotFound), ("deleted", TenantNotFound)]
)
async def test_nothing_is_done_or_recorded_on_a_tenant_that_is_not_in_use(
    world: World, state: State, error: type[ConvergenceError]
) -> None:
    turns: list[Turn] = []
    tenant_id = await new_tenant(world.warehouse, state)
    with pytest.raises(error):
        await world.acts().do(ADMIN, world.act(tenant_id=tenant_id), noting(turns))
    assert (turns, await world.rows(tenant_id)) == ([], [])


async def test_a_suspended_tenant_can_be_acted_on(world: World) -> None:
    tenant_id = await new_tenant(world.warehouse, "suspended")
    assert await world.acts().do(ADMIN, world.act(tenant_id=tenant_id), noting([])) == "done"


async def test_what_comes_out_only_in_the_act_is_told_by_its_outcome(world: World) -> None:
    async def done(turn: Turn) -> str:
        turn.about("key_7")
        return "done"

    with structlog.testing.capture_logs() as logs:
        await world.acts().do(ADMIN, world.act(), done)
    page = await ListAuditRecords(world.warehouse, schema_over(world.warehouse))(
        ADMIN, tenant_id=world.tenant_id, start_time=None, end_time=None, page_size=0, page_token=""
    )
    assert [record.resource for record in page.items] == ["key_7"]
    assert [log["resource"] for log in logs if log["event"] == "audit"] == ["", "key_7"]
