"""docs/statuses.md says what each method is refused with: each is made to, over a real connection, and says all that belongs to it."""

import asyncio
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.tenants.tenant import tenant_labels
from convergence.options.v1 import options_pb2
from tests.rpc.statuses import Refusal
from tests.rpc.system import ADMIN_METHODS, METHODS, System, Tenant
from tests.rpc.tenant_stack import as_key
from tests.rpc.test_access_table import table

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "statuses.md"
PROTO = ROOT / "protos" / "convergence" / "errors" / "v1" / "error_reason.proto"
_COMMENTED = re.compile(r"^  // ([A-Z_]+)\. (?:.+\n(?:  //.*\n)*)  ([A-Z_]+) = \d+;", re.MULTILINE)
STATUS_OF = {reason: status for status, reason in _COMMENTED.findall(PROTO.read_text())}
"""The status of each reason that a call is refused with: the first word of its comment."""
EVERYWHERE = ("API_KEY_INVALID",)
ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "tests/rpc/test_statuses_of_limits_and_outages.py": ("RATE_LIMITED", "OVERLOADED", "DEPENDENCY_UNAVAILABLE"),
    "tests/rpc/test_interceptors.py": ("INTERNAL",),
    "tests/rpc/test_deadlines.py": ("CALL_TIMEOUT", "MESSAGE_TOO_LARGE"),
    "tests/rpc/test_call_log.py": ("METHOD_UNKNOWN",),
    "tests/rpc/test_concurrent_key_changes.py": ("ROTATION_IN_PROGRESS",),
    "tests/rpc/test_concurrent_runs.py": ("PIPELINE_BUSY",),
    "tests/rpc/test_keys_without_kms.py": ("DEPENDENCY_REFUSED",),
    "tests/rpc/test_rewrap_secrets.py": ("DECRYPTION_FAILED",),
    "tests/rpc/test_migrate_tenants.py": ("TENANT_SCHEMA_CONFLICT",),
    "tests/rpc/test_budgets.py": ("BUDGET_EXCEEDED",),
    "tests/rpc/test_load_steps.py": ("LOCATION_NOT_ALLOWED",),
    "tests/unit/pipeline_service/test_plan.py": ("PLAN_TOO_LARGE",),
    "tests/unit/common/rpc/test_status.py": ("CONCURRENT_CHANGE",),
}
"""Reasons that take a race, a flood, or a dependency that fails: by the tests that prove them, of all methods or of those that
can be made to."""
ONLY_IN_A_RACE = {
    ("Onboard", "TENANT_NOT_FOUND"),
    ("RetryRun", "TENANT_NOT_FOUND"),
    ("RetryRun", "TENANT_NOT_READY"),
    ("RetryRun", "TENANT_SUSPENDED"),
}
"""What becomes of a tenant between a call's checks, or after a run of it; the directory of tenants learns of it within the bound."""
RETRIED = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
NOBODY = "nobody_at_all"

ROWS = {row["method"]: row["reasons"].split(", ") for row in table("method", DOCUMENT)}
Asked = tuple[Any, Mapping[str, Any]]
"""The metadata of a caller, and fields that go over the good ones."""


@dataclass(frozen=True)
class World:
    """A tenant of these tests alone, and others in every state. `reused` is a request id that has been used for another request."""

    system: System
    ours: Tenant
    single: Mapping[str, Any]
    creating: str
    suspended: str
    taken: str
    revoked_key_id: str
    complete_run: str
    failed_run: str
    reused: str
    onboarded: str

    def named(self, method: str, tenant_id: str) -> dict[str, Any]:
        """Fields that name the tenant."""
        if method == "RunPipeline":
            return {"pipeline_id": f"{tenant_id}-gcp-test-list", "date": ""}
        return {"tenant_id": tenant_id} if "tenant_id" in METHODS[method].input_type.fields_by_name else {}

    def caller(self, method: str) -> Any:
        """Somebody who may call the method for this tenant."""
        return self.system.admin if method in ADMIN_METHODS else self.ours.key

    def asked(self, method: str, **fields: Any) -> Asked:
        """A call for this tenant by somebody who may."""
        return self.caller(method), {**self.named(method, self.ours.tenant_id), **fields}

    def of(self, method: str, tenant_id: str) -> Asked:
        """An admin's call for another tenant."""
        return self.system.admin, self.named(method, tenant_id)

    def template(self, method: str, name: str, **fields: Any) -> Asked:
        """A call about a template."""
        if method == "RunPipeline":
            return self.asked(method, pipeline_id=f"{self.ours.tenant_id}-gcp-test-{name}", **fields)
        if method == "BackfillTemplate":  # which has days of its own
            fields.pop("date", None)
        return self.asked(method, template_name=name, **fields)

    def out_of_reach(self, method: str) -> Asked:
        """A call for a table of another tenant's."""
        if method == "ReadTable":
            return self.asked(method, table="api_keys")
        theirs = f"{self.system.rival.tenant_id}.cost"
        if method in ("Onboard", "SetSources"):
            new = {"tenant_id": f"t_{uuid.uuid4().hex[:12]}"} if method == "Onboard" else {}
            return self.asked(method, sources={"theirs": theirs}, **new)
        name = "any_table_of_a_day" if method == "BackfillTemplate" else "any_table"
        return self.template(method, name, date="", parameters={"input": theirs})

    def malformed(self, method: str) -> Asked:
        """A call with a field that is none."""
        fields = METHODS[method].input_type.fields_by_name
        for name, value in (
            ("tenant_id", "No Tenant!"),
            ("pipeline_id", "nonsense"),
            ("provider", "!"),
            ("page_size", -1),
        ):
            if name in fields:
                return self.caller(method), {name: value}
        raise AssertionError(method)

    def used_request_id(self, method: str) -> Asked:
        """A call under a request id that another had."""
        if method == "Onboard":
            return self.system.admin, {
                "tenant_id": self.onboarded,
                "request_id": self.reused,
                "sources": {"a": f"export_{self.system.rival.tenant_id}.rows"},
            }
        if method == "RetryRun":
            return self.asked(method, pipeline_logging_id=self.failed_run, request_id=self.reused)
        if method in ("RunTemplate", "RunPipeline", "BackfillTemplate"):
            return self.template(method, "list", date="", trigger_by="else", request_id=self.reused)
        if method == "SetSources":
            return self.asked(method, request_id=self.reused, sources={"a": "shared_data.rows"})
        fields: dict[str, Any] = {"key_id": self.revoked_key_id} if "Key" in method and method != "CreateKey" else {}
        return self.asked(method, request_id=self.reused, **fields)

    def without_scope(self, method: str) -> Asked:
        """A call by a key that can do something else."""
        scope = METHODS[method].GetOptions().Extensions[options_pb2.access].scope
        other = next(key for name, key in self.single.items() if name != scope)
        return other, self.named(method, self.ours.tenant_id)


PROVOKED: Mapping[str, Callable[[World, str], Asked]] = {
    "API_KEY_INVALID": lambda world, method: ((), world.named(method, world.ours.tenant_id)),
    "ADMIN_ONLY": lambda world, method: (world.ours.key, world.named(method, world.ours.tenant_id)),
    "SCOPE_MISSING": World.without_scope,
    "FIELD_INVALID": World.malformed,
    "TENANT_MISMATCH": lambda world, method: (world.ours.key, world.named(method, world.system.rival.tenant_id)),
    "TENANT_NOT_FOUND": lambda world, method: world.of(method, NOBODY),
    "TENANT_NOT_READY": lambda world, method: world.of(method, world.creating),
    "TENANT_SUSPENDED": lambda world, method: world.of(method, world.suspended),
    "TENANT_IN_USE": lambda world, method: world.of(method, world.ours.tenant_id),
    "TENANT_EXISTS": lambda world, method: world.of(method, world.ours.tenant_id),
    "DATASET_TAKEN": lambda world, method: world.of(method, world.taken),
    "TABLE_NOT_ALLOWED": World.out_of_reach,
    "REQUEST_ID_REUSED": World.used_request_id,
    "KEY_NOT_FOUND": World.asked,
    "KEY_AMBIGUOUS": lambda world, method: (world.system.admin, {"tenant_id": world.ours.tenant_id, "key_id": ""}),
    "KEY_NOT_ACTIVE": lambda world, method: world.asked(method, key_id=world.revoked_key_id),
    "CREDENTIAL_NOT_FOUND": World.asked,
    "RUN_NOT_FOUND": World.asked,
    "RUN_NOT_RETRYABLE": lambda world, method: world.asked(method, pipeline_logging_id=world.complete_run),
    "TEMPLATE_NOT_FOUND": lambda world, method: world.template(method, "nothing"),
    "TEMPLATE_INVALID": lambda world, method: world.template(method, "broken"),
    "SOURCE_NOT_GRANTED": lambda world, method: world.template(method, "daily", date="2025-11-15"),
    "TABLE_NOT_FOUND": World.asked,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(system: System) -> World:
    ours = Tenant(*await system.pipelines.onboard(export=False))

    async def new_key(scope: str) -> Any:
        return await system.call("CreateKey", system.admin, tenant_id=ours.tenant_id, scopes=[scope])

    scopes = ("runs:read", "keys:admin")
    single = {scope: as_key((await new_key(scope)).api_key) for scope in scopes}
    revoked = (await new_key("runs:read")).key.key_id
    await system.call("RevokeKey", system.admin, tenant_id=ours.tenant_id, key_id=revoked)
    creating, taken, onboarded = (f"t_{uuid.uuid4().hex[:12]}" for _ in range(3))
    labels = tenant_labels("creating", claim="0" * 32, request="0" * 32, body="0" * 32)
    await system.pipelines.warehouse.create_dataset(creating, location="US", labels=labels)
    await system.pipelines.warehouse.create_dataset(taken, location="US", labels={})
    suspended, _ = await system.pipelines.onboard(export=False)
    await system.call("SuspendTenant", system.admin, tenant_id=suspended)
    reused = str(uuid.uuid4())
    await system.call("SetSources", system.admin, tenant_id=ours.tenant_id, request_id=reused)
    await system.call("Onboard", system.admin, tenant_id=onboarded, request_id=reused)
    complete = await system.pipelines.run(*ours_of(ours), "list", date="", request_id=reused)
    failing = await system.pipelines.run(*ours_of(ours), "failing", date="")
    return World(
        system=system,
        ours=ours,
        single=single,
        creating=creating,
        suspended=suspended,
        taken=taken,
        revoked_key_id=revoked,
        complete_run=complete.pipeline_logging_id,
        failed_run=failing.pipeline_logging_id,
        reused=reused,
        onboarded=onboarded,
    )


def ours_of(tenant: Tenant) -> tuple[str, Any]:
    return tenant.tenant_id, tenant.key


def provoked(method: str) -> list[str]:
    """The reasons that the method is made to refuse with."""
    elsewhere = {reason for reasons in ELSEWHERE.values() for reason in reasons}
    gate = "ADMIN_ONLY" if method in ADMIN_METHODS else "SCOPE_MISSING"
    documented = [*EVERYWHERE, gate, *ROWS[method]]
    return [reason for reason in documented if reason not in elsewhere and (method, reason) not in ONLY_IN_A_RACE]


async def test_every_method_has_one_row_and_its_reasons_are_known() -> None:
    assert ROWS.keys() == METHODS.keys()
    assert len(table("method", DOCUMENT)) == len(METHODS)
    for reasons in ROWS.values():
        assert set(reasons) <= STATUS_OF.keys()
        assert len(set(reasons)) == len(reasons)


async def test_every_reason_that_a_call_is_refused_with_is_in_the_document() -> None:
    text = DOCUMENT.read_text()
    assert {reason for reason in STATUS_OF if reason not in text} == set()


@pytest.mark.parametrize("file", ELSEWHERE)
async def test_what_is_proved_elsewhere_is_named_there(file: str) -> None:
    text = (ROOT / file).read_text()
    for reason in ELSEWHERE[file]:
        in_words = "".join(part.capitalize() for part in reason.split("_"))
        assert reason in text or in_words in text


@pytest.mark.parametrize("method", METHODS)
async def test_a_method_refuses_as_its_row_says_with_all_that_belongs_to_the_status(world: World, method: str) -> None:
    reasons = provoked(method)
    refusals = await asyncio.gather(*(refusal_with(world, method, reason) for reason in reasons))
    for reason, refusal in zip(reasons, refusals, strict=True):
        assert (refusal.code, refusal.reason) == (STATUS_OF[reason], reason)
        assert bool(refusal.fields) == (refusal.code == "INVALID_ARGUMENT"), reason
        assert refusal.retry == (refusal.code in RETRIED), reason


async def refusal_with(world: World, method: str, reason: str) -> Refusal:
    caller, fields = PROVOKED[reason](world, method)
    return await world.system.refusal(method, caller, **fields)
