"""Malformed fields: every method names every one of them at once, and nothing happens."""

import uuid
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.rpc.pipeline_stack import DAY
from tests.rpc.system import ADMIN_METHODS, NAMING_A_TENANT, OF_ALL_TENANTS, System

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("leaves_nothing")]

TENANT_IDS = ["AB", "a-b", "../x", "a'; DROP TABLE", "a" * 51, "", "tenänt", "billing_export_acmeinc"]
TENANT_IDS += ["ab", "abc\n", "abc\0", "１23", "_abc", "acme.api_keys", "main", "system", "convergence_x"]
LEFT_OUT = frozenset({"GetRun", "WatchRun", "CancelRun", "RetryRun"})
"""Methods to which a tenant's key need not name its tenant."""


@pytest.mark.parametrize("tenant_id", TENANT_IDS)
async def test_a_malformed_tenant_id_is_refused_by_every_method_that_takes_one(system: System, tenant_id: str) -> None:
    calls = [
        (method, system.admin, {"tenant_id": tenant_id})
        for method in NAMING_A_TENANT
        if tenant_id or method not in OF_ALL_TENANTS
    ]
    calls += [
        (method, system.acme.key, {"tenant_id": tenant_id})
        for method in NAMING_A_TENANT - ADMIN_METHODS
        if tenant_id or method not in LEFT_OUT
    ]
    for refusal in await system.refusals(*calls):
        assert (refusal.code, refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", "FIELD_INVALID", ("tenant_id",))
    by_pipeline = await system.refusal("RunPipeline", system.admin, pipeline_id=f"{tenant_id}-gcp-test-daily")
    assert (by_pipeline.code, by_pipeline.fields) == ("INVALID_ARGUMENT", ("pipeline_id",))


MALFORMED: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    (
        "Onboard",
        {"tenant_id": "AB", "request_id": "no-uuid", "sources": {"Bad Name": "a.b", "good": "only_one_part"}},
        ("tenant_id", "request_id", "sources", "sources.good"),
    ),
    (
        "SetSources",
        {"tenant_id": "AB", "request_id": "no-uuid", "sources": {f"s{number}": "d.t" for number in range(51)}},
        ("tenant_id", "request_id", "sources"),
    ),
    ("SuspendTenant", {"tenant_id": "AB", "request_id": "no-uuid"}, ("tenant_id", "request_id")),
    ("ResumeTenant", {"tenant_id": "AB", "request_id": "no-uuid"}, ("tenant_id", "request_id")),
    (
        "DeleteTenant",
        {"tenant_id": "AB", "confirmation": "ab", "request_id": "no-uuid"},
        ("tenant_id", "confirmation", "request_id"),
    ),
    ("ListTenants", {"page_size": 1001, "page_token": "x"}, ("page_size", "page_token")),
    ("SetSources", {"sources": {"a": "d.t*", "b": "`d.t`", "c": "d.t; x", "e": "p.d.t.x"}}, tuple(f"sources.{s}" for s in "abce")),
    (
        "RunTemplate",
        {
            "tenant_id": "AB",
            "provider": "../..",
            "domain": "Cost",
            "template_name": "../../etc/passwd",
            "date": "2025-02-30",
            "trigger_by": "\t",
            "parameters": {"date": DAY, "no name": "1"},
            "request_id": "x",
        },
        (
            *("tenant_id", "provider", "domain", "template_name", "date", "trigger_by"),
            *("parameters.date", "parameters.no name", "request_id"),
        ),
    ),
    (
        "BackfillTemplate",
        {
            "tenant_id": "AB",
            "provider": "../..",
            "domain": "Cost",
            "template_name": "../../etc/passwd",
            "start_date": "2025-02-30",
            "end_date": "",
            "max_parallel": 33,
            "trigger_by": "\t",
            "parameters": {"date": DAY, "no name": "1"},
            "request_id": "x",
        },
        (
            *("tenant_id", "provider", "domain", "template_name", "start_date", "end_date", "max_parallel", "trigger_by"),
            *("parameters.date", "parameters.no name", "request_id"),
        ),
    ),
    ("BackfillTemplate", {"start_date": "2025-11-15", "end_date": "2025-11-14"}, ("end_date",)),
    ("BackfillTemplate", {"start_date": "2022-11-12", "end_date": "2025-11-16"}, ("end_date",)),
    ("BackfillTemplate", {"max_parallel": -1}, ("max_parallel",)),
    ("BackfillTemplate", {"template_name": "list"}, ("template_name",)),
    ("BackfillTemplate", {"parameters": {"unknown": "1", "other": "2"}}, ("parameters.other", "parameters.unknown")),
    (
        "PlanTemplate",
        {
            "tenant_id": "AB",
            "provider": "../..",
            "domain": "Cost",
            "template_name": "../../etc/passwd",
            "date": "2025-02-30",
            "parameters": {"date": DAY, "no name": "1"},
        },
        ("tenant_id", "provider", "domain", "template_name", "date", "parameters.date", "parameters.no name"),
    ),
    ("PlanTemplate", {"date": "", "parameters": {"unknown": "1"}}, ("parameters.unknown", "date")),
    ("PlanTemplate", {"parameters": {f"p{number}": "" for number in range(101)}}, ("parameters",)),
    ("RunTemplate", {"template_name": "../../etc/passwd"}, ("template_name",)),
    ("RunTemplate", {"template_name": "daily.yml"}, ("template_name",)),
    ("RunTemplate", {"template_name": ""}, ("template_name",)),
    ("RunTemplate", {"date": "2025-02-30"}, ("date",)),
    ("RunTemplate", {"date": "20251115"}, ("date",)),
    ("RunTemplate", {"date": "２０２５-11-15"}, ("date",)),
    ("RunTemplate", {"date": ""}, ("date",)),
    ("RunTemplate", {"parameters": {"date": DAY}}, ("parameters.date",)),
    ("RunTemplate", {"parameters": {"unknown": "1", "other": "2"}}, ("parameters.other", "parameters.unknown")),
    ("RunTemplate", {"date": "", "parameters": {"unknown": "1"}}, ("parameters.unknown", "date")),
    ("RunTemplate", {"parameters": {"note": "x" * 10_001}}, ("parameters.note",)),
    ("RunTemplate", {"parameters": {f"p{number}": "" for number in range(101)}}, ("parameters",)),
    ("RunTemplate", {"trigger_by": "x" * 201}, ("trigger_by",)),
    ("RunTemplate", {"trigger_by": "a\nb"}, ("trigger_by",)),
    ("RunTemplate", {"template_name": "list"}, ("date",)),
    ("RunPipeline", {"pipeline_id": "", "date": "x", "request_id": "y"}, ("pipeline_id", "date", "request_id")),
    ("RunPipeline", {"pipeline_id": "acme"}, ("pipeline_id",)),
    ("RunPipeline", {"pipeline_id": "acme-gcp-test"}, ("pipeline_id",)),
    ("RunPipeline", {"pipeline_id": "acme-gcp-test-../../etc/passwd"}, ("pipeline_id",)),
    ("GetRun", {"pipeline_logging_id": "x", "tenant_id": "AB"}, ("pipeline_logging_id", "tenant_id")),
    ("GetRun", {"pipeline_logging_id": "{00000000-0000-8000-8000-000000000000}"}, ("pipeline_logging_id",)),
    ("WatchRun", {"pipeline_logging_id": "", "tenant_id": ""}, ("pipeline_logging_id", "tenant_id")),
    (
        "ReadTable",
        {"tenant_id": "AB", "start_date": "2025-02-30", "end_date": "x", "page_size": -1},
        ("tenant_id", "start_date", "end_date", "page_size"),
    ),
    (
        "ReadTable",
        {"tenant_id": "acme", "table": "cost", "start_date": "2025-11-16", "end_date": "2025-11-15"},
        ("end_date",),
    ),
    (
        "ListAuditRecords",
        {"tenant_id": "AB", "start_time": Timestamp(seconds=10**14), "end_time": Timestamp(nanos=-1), "page_size": -1, "page_token": "x"},
        ("tenant_id", "start_time", "end_time", "page_size", "page_token"),
    ),
    ("ListAuditRecords", {"start_time": Timestamp(seconds=2), "end_time": Timestamp(seconds=2)}, ("end_time",)),
    ("ListTemplates", {"page_size": 1001, "page_token": "x"}, ("page_size", "page_token")),
    ("ListTemplates", {"page_size": -1, "page_token": "e30="}, ("page_size", "page_token")),
    ("ListTemplates", {"page_token": "WzFd"}, ("page_token",)),
    ("ListTemplates", {"page_token": "é"}, ("page_token",)),
    ("ListTemplates", {"page_token": "W1tb" * 50_000}, ("page_token",)),
    (
        "CreateKey",
        {
            "tenant_id": "AB",
            "scopes": [],
            "expire_time": {"seconds": 1},
            "display_name": "x" * 101,
            "request_id": "00000000-0000-0000-0000-000000000000",
        },
        ("tenant_id", "scopes", "expire_time", "display_name", "request_id"),
    ),
    ("CreateKey", {"scopes": ["runs:read", "runs:everything"]}, ("scopes",)),
    ("CreateKey", {"scopes": ["RUNS:READ"]}, ("scopes",)),
    ("CreateKey", {"scopes": ["runs:read", "runs:read"]}, ("scopes",)),
    ("CreateKey", {"display_name": "a\u202eb"}, ("display_name",)),
    ("CreateKey", {"expire_time": {"seconds": 10**15}}, ("expire_time",)),
    ("CreateKey", {"expire_time": {"seconds": 10**10, "nanos": -1}}, ("expire_time",)),
    ("CreateKey", {"expire_time": {}}, ("expire_time",)),
    ("CreateKey", {"expire_time": {"seconds": 1}, "request_id": str(uuid.uuid4())}, ("expire_time",)),
    ("RotateKey", {"tenant_id": "AB", "grace_period": {"seconds": -1}, "request_id": "x"}, ("tenant_id", "grace_period", "request_id")),
    ("RotateKey", {"grace_period": {"seconds": 8 * 24 * 3600}}, ("grace_period",)),
    ("RotateKey", {"grace_period": {"seconds": 7 * 24 * 3600, "nanos": 1}}, ("grace_period",)),
    ("RotateKey", {"grace_period": {"nanos": -1}}, ("grace_period",)),
    ("RotateKey", {"grace_period": {"seconds": 1, "nanos": -1}}, ("grace_period",)),
    ("RotateKey", {"grace_period": {"seconds": 1, "nanos": 1_000_000_000}}, ("grace_period",)),
    ("RevokeKey", {"tenant_id": "AB", "all": True, "request_id": "x"}, ("tenant_id", "all", "request_id")),
    ("RevokeKey", {"key_id": ""}, ("key_id",)),
    ("ListKeys", {"tenant_id": "AB", "page_size": 1001, "page_token": "x"}, ("tenant_id", "page_size", "page_token")),
    ("ListKeys", {"page_size": -1}, ("page_size",)),
]  # fmt: skip


@pytest.mark.parametrize(("method", "fields", "violations"), MALFORMED)
async def test_every_malformed_field_is_named_at_once(
    system: System, method: str, fields: dict[str, Any], violations: tuple[str, ...]
) -> None:
    own = {"tenant_id": system.acme.tenant_id} if method in NAMING_A_TENANT else {}
    refusal = await system.refusal(method, system.admin, **{**own, **fields})
    assert (refusal.code, refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", "FIELD_INVALID", violations)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        (("gcp", "test", "dayly"), "gcp/test/daily"),
        (("gcp", "cost", "bill-sample-export"), "gcp/cost/bill-sample-export-template"),
        (("customer", "x", "onboarding-template"), None),
        (("metadata", "schemas", "api_keys"), None),
        (("aws", "nothing", "like-this-at-all"), None),
    ],
)
async def test_an_unknown_template_is_not_found_and_the_nearest_names_are_told(
    system: System, path: tuple[str, str, str], nearest: str | None
) -> None:
    provider, domain, name = path
    refusals = await system.refusals(
        (
            "RunTemplate",
            system.acme.key,
            {"tenant_id": system.acme.tenant_id, "provider": provider, "domain": domain, "template_name": name},
        ),
        ("RunPipeline", system.acme.key, {"pipeline_id": f"{system.acme.tenant_id}-{provider}-{domain}-{name}"}),
    )
    for refusal in refusals:
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")
        assert nearest is None or refusal.metadata["nearest"].split(", ")[0] == nearest
