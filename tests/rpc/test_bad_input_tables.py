"""Tables that a tenant may not read, in every form of their names: refused alike, through a parameter and through ReadTable."""

from collections.abc import Iterator

import pytest

from tests.rpc.system import System

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("leaves_nothing")]

OUT_OF_REACH = {
    "another tenant's table": "{rival}.cost",
    "another tenant's, by project": "local.{rival}.cost",
    "another tenant's, in capitals": "{RIVAL}.cost",
    "another tenant's that was never published": "{rival}.nothing",
    "nobody's": "nobody_at_all.cost",
    "another tenant's export": "export_{rival}.rows",
    "its own export by a table that was not granted": "export_{acme}.other",
    "keys": "{acme}.api_keys",
    "keys, alone": "api_keys",
    "keys, in capitals": "API_KEYS",
    "another tenant's keys": "{rival}.api_keys",
    "settings": "{acme}.tenant_settings",
    "runs": "pipeline_runs",
    "a stage": "_stage_0123_load",
    "a stage, by dataset": "{acme}._stage_0123_load",
    "the server's own": "convergence_metadata.jobs",
    "DuckDB's catalog": "main.duckdb_tables",
    "a schema view": "{acme}.INFORMATION_SCHEMA.TABLES",
    "a partition": "{rival}.cost$20251115",
    "the past": "{rival}.cost@-3600000",
    "a file": "/etc/hostname",
    "a path": "../{rival}/cost",
    "a subquery": "(SELECT * FROM {rival}.cost)",
    "a call": "read_text('/etc/hostname')",
    "two": "{acme}.cost, {rival}.cost",
    "a comment": "{rival}.cost -- ",
    "nothing": "",
}


def forms(name: str) -> Iterator[str]:
    """A name as it is, backticked as a whole and by part, and as a wildcard."""
    yield from (name, f"`{name}`", name.replace(".", "`.`").join("``"), f"{name}*", f"`{name}*`", f"{name[:-1]}*")


@pytest.mark.parametrize("what", OUT_OF_REACH)
async def test_a_table_out_of_reach_is_refused_in_every_form(system: System, what: str) -> None:
    acme, rival = system.acme.tenant_id, system.rival.tenant_id
    names = list(forms(OUT_OF_REACH[what].format(acme=acme, rival=rival, RIVAL=rival.upper())))
    template = {"template_name": "any_table", "date": ""}
    by_parameter = await system.refusals(
        *(
            (method, system.acme.key, {"tenant_id": acme, **template, "parameters": {"input": n}})
            for method in ("RunTemplate", "PlanTemplate")
            for n in names
        ),
        *(
            (
                "RunPipeline",
                system.acme.key,
                {"pipeline_id": f"{acme}-gcp-test-any_table", "date": "", "parameters": {"input": n}},
            )
            for n in names
        ),
    )
    assert {(refusal.code, refusal.reason, refusal.fields) for refusal in by_parameter} == {
        ("INVALID_ARGUMENT", "TABLE_NOT_ALLOWED", ("parameters.input",))
    }
    by_reading = await system.refusals(
        *(("ReadTable", system.acme.key, {"tenant_id": acme, "table": name}) for name in names)
    )
    assert {(refusal.code, refusal.reason, refusal.fields) for refusal in by_reading} == {
        ("INVALID_ARGUMENT", "TABLE_NOT_ALLOWED", ("table",))
    }
    assert len({refusal.wire for refusal in by_parameter}) == len({refusal.wire for refusal in by_reading}) == 1
