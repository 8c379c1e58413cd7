"""`resolve_template` and `get_template_path`: the functions of the original system, under their old names."""

from pathlib import Path

import pytest

from common.errors import InvalidInput, TemplateInvalid, TemplateNotFound
from common.templates.resolve import get_template_path, resolve_template
from tests.unit.common.templates.every_type import EVERY_TYPE


def test_resolve_template_replaces_placeholders_in_every_nested_string(tmp_path: Path) -> None:
    path = tmp_path / "gcp" / "cost" / "example.yml"
    path.parent.mkdir(parents=True)
    path.write_text(EVERY_TYPE)
    variables = {"tenant_id": "acme", "provider": "gcp", "date": "2025-11-15", "count": "4"}
    resolved = resolve_template(path, variables)
    assert resolved["description"] == "Of acme"
    step = resolved["steps"][0]
    assert step["destination"]["partition"]["value"] == "2025-11-15"
    assert step["max_attempts"] == "4"
    assert step["sql"].endswith("FROM `acme.other` JOIN `acme.amount` USING (day) WHERE day = @date")
    assert step["checks"][0]["measure"] == "SUM(`amount`)"
    with pytest.raises(InvalidInput):
        resolve_template(path, {**variables, "nope": "1"})
    path.write_text("description: {nope}\nsteps: []")
    with pytest.raises(TemplateInvalid) as caught:
        resolve_template(path, variables)
    assert caught.value.metadata["problem"].startswith("gcp/cost/example.yml:1: ")


def test_resolve_template_takes_sources_as_variables() -> None:
    path = get_template_path("gcp", "cost", "bill-sample-export-template")
    variables = {"tenant_id": "acme", "date": "2025-11-15", "source.billing_export": "exports.billing"}
    assert "FROM `exports.billing` AS e" in resolve_template(path, variables)["steps"][0]["sql"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "dryrun.yml", "", "Dryrun", "../example/dryrun"])
def test_a_template_path_is_looked_up_and_never_built_from_input(name: str) -> None:
    assert get_template_path("gcp", "example", "dryrun").endswith("configs/gcp/example/dryrun.yml")
    with pytest.raises(TemplateNotFound):
        get_template_path("gcp", "example", name)
