"""Keys that hold nothing, and keys that belong to another: what every method of both services says to them."""

from typing import Any

import pytest

from common.api_keys.key import mint, mint_admin
from tests.rpc.system import ADMIN_METHODS, METHODS, NAMING_A_TENANT, NEVER, TENANT_METHODS, System
from tests.rpc.tenant_stack import as_key

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("leaves_nothing")]


def wrong_keys(system: System) -> dict[str, Any]:
    """Metadata without a key that holds, by what is wrong with it."""
    (_, good), (_, rivals) = system.acme.key[0], system.rival.key[0]
    return {
        "no key": (),
        "an empty key": as_key(""),
        "no key at all": as_key("a'; DROP TABLE api_keys"),
        "a tenant's that was never minted": as_key(mint(system.acme.tenant_id).reveal()),
        "a tenant's that does not exist": as_key(mint("nobody_at_all").reveal()),
        "an admin's that was never minted": as_key(mint_admin().reveal()),
        "another tenant's under this name": as_key(f"{system.acme.tenant_id}{rivals[-21:]}"),
        "in capitals": as_key(good.upper()),
        "cut off": as_key(good[:-1]),
        "too long": as_key(f"{good}x"),
        "twice": as_key(good) * 2,
        "as a bearer": (("authorization", f"Bearer {good}"),),
        "in binary": (("x-api-key-bin", good.encode()),),
    }


async def test_every_method_says_the_same_to_every_key_that_does_not_hold(system: System) -> None:
    refusals = await system.refusals(
        *((method, key, {}) for method in METHODS for key in wrong_keys(system).values()),
    )
    assert {(refusal.code, refusal.reason, refusal.fields) for refusal in refusals} == {
        ("UNAUTHENTICATED", "API_KEY_INVALID", ())
    }
    assert len({refusal.wire for refusal in refusals}) == 1


async def test_a_tenants_key_is_refused_by_every_method_of_admins_whatever_it_asks(system: System) -> None:
    tenants = ("", "a-b", system.acme.tenant_id, system.rival.tenant_id, "nobody_at_all")
    refusals = await system.refusals(
        *((method, system.acme.key, {}) for method in ADMIN_METHODS),
        *(
            (method, system.acme.key, {"tenant_id": tenant_id})
            for method in ADMIN_METHODS & NAMING_A_TENANT
            for tenant_id in tenants
        ),
    )
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {("PERMISSION_DENIED", "ADMIN_ONLY")}
    assert len({refusal.wire for refusal in refusals}) == 1


async def test_a_method_of_tenants_names_one_or_is_known_to_need_none() -> None:
    by_its_pipeline_id, shared_by_all = {"RunPipeline"}, {"GetTemplate", "ListTemplates"}
    assert by_its_pipeline_id | shared_by_all == TENANT_METHODS - NAMING_A_TENANT


async def test_a_foreign_key_is_refused_with_the_same_bytes_whether_or_not_the_tenant_exists(system: System) -> None:
    others = (system.rival.tenant_id, "nobody_at_all")
    methods = sorted(NAMING_A_TENANT & TENANT_METHODS)
    named = await system.refusals(
        *((method, system.acme.key, {"tenant_id": other}) for method in methods for other in others)
    )
    by_pipeline = await system.refusals(
        *(("RunPipeline", system.acme.key, {"pipeline_id": f"{other}-gcp-test-daily"}) for other in others)
    )
    assert {(refusal.code, refusal.reason) for refusal in named + by_pipeline} == {
        ("PERMISSION_DENIED", "TENANT_MISMATCH")
    }
    assert len({refusal.wire for refusal in named + by_pipeline}) == 1


async def test_what_is_malformed_is_told_before_whose_it_is_and_whose_before_what_exists(system: System) -> None:
    other = {"tenant_id": system.rival.tenant_id}
    malformed = await system.refusal("RunTemplate", system.acme.key, **other, date="2025-02-30")
    assert (malformed.code, malformed.fields) == ("INVALID_ARGUMENT", ("date",))
    for fields in ({"template_name": "nothing"}, {"parameters": {"unknown": "1"}}, {"template_name": "is_no_yaml"}):
        refusal = await system.refusal("RunTemplate", system.acme.key, **other, **fields)
        assert refusal.reason == "TENANT_MISMATCH"


async def test_another_tenants_run_is_the_same_bytes_as_one_that_never_was(system: System) -> None:
    run = system.rivals_run
    wanted = (run, run.upper(), NEVER, "11111111-1111-4111-8111-111111111111")
    methods = ("GetRun", "WatchRun", "CancelRun", "RetryRun")
    refusals = await system.refusals(
        *((method, system.acme.key, {"pipeline_logging_id": run_id}) for method in methods for run_id in wanted),
        *(
            (method, system.admin, {"pipeline_logging_id": run, "tenant_id": system.acme.tenant_id})
            for method in methods
        ),
    )
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {("NOT_FOUND", "RUN_NOT_FOUND")}
    assert len({refusal.wire for refusal in refusals}) == 1
