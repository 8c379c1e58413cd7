"""What a new tenant is given, and that a faulty onboarding template is named with its lines."""

import shutil
from pathlib import Path

import pytest

from common.templates.catalog import Catalog, default_configs_dir
from common.templates.onboarding import FILE, load_onboarding_template
from common.templates.tables import METADATA_TABLES
from common.templates.yaml_source import DoesNotLoad


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(default_configs_dir(), tmp_path / "configs")
    return tmp_path / "configs"


def test_a_tenant_is_given_its_metadata_tables_all_scopes_and_its_export() -> None:
    template = load_onboarding_template(default_configs_dir())
    assert set(template.tables) == METADATA_TABLES
    assert set(template.scopes) == {"runs:read", "runs:write", "keys:admin", "credentials:admin"}
    assert template.sources_of("acme") == {"billing_export": "billing_export_acme.gcp_billing_export_v1"}
    assert (template.location, template.labels) == ("US", {"managed_by": "convergence"})


def test_the_dry_run_is_a_template_that_needs_no_source(shipped: Catalog) -> None:
    dry_run = load_onboarding_template(default_configs_dir()).dry_run
    assert shipped.get(dry_run).sources == frozenset()


def test_only_the_tables_that_grow_with_runs_are_partitioned_and_clustered() -> None:
    tables = load_onboarding_template(default_configs_dir()).tables
    for name in ("pipeline_runs", "step_logs", "dq_results"):
        assert tables[name].partition_column
        assert tables[name].clustering
    for name in ("api_keys", "cloud_credentials"):
        assert (tables[name].partition_column, tables[name].clustering) == (None, ())
    for table in tables.values():
        columns = {column.name for column in table.columns}
        assert {table.partition_column, *table.clustering} - {None} <= columns
        assert all(column.description for column in table.columns)


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("description:", "descriptoin:", 2, "unknown key 'descriptoin'"),
        ("location: US", "location: U S", 4, "location: String should match pattern"),
        ("managed_by: convergence", "managed_by: A", 6, "managed_by: String should match pattern"),
        ("[api_keys, ", "[", 8, "api_keys is missing"),
        ("[api_keys, ", "[api_keys, nope, ", 8, "the schema of nope does not load"),
        ("schema_version: 3", "schema_version: 0", 10, "greater than or equal to 1"),
        ("schema_version: 3\n", "", 2, "'schema_version' is missing"),
        ('"runs:read"', '"runs:all"', 12, "Input should be 'runs:read'"),
        ("{tenant_id}.gcp", "{tenant}.gcp", 14, "unknown placeholder {tenant}"),
        ("{tenant_id}.gcp", "{tenant_id}", 14, "expected dataset.table"),
        ("domain: example, ", "", 17, "'domain' is missing"),
    ],
)
def test_a_faulty_onboarding_template_is_refused_with_its_line(
    copied: Path, old: str, new: str, line: int, reason: str
) -> None:
    path = copied / FILE
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(DoesNotLoad) as caught:
        load_onboarding_template(copied)
    assert any(str(p).startswith(f"{FILE}:{line}: ") and reason in str(p) for p in caught.value.problems), caught.value


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"schema": {"fields": []}}', '{"schema": {"fields": [{"name": "a b", "type": "STRING"}]}}']
)
def test_a_schema_file_that_is_none_is_refused(copied: Path, text: str) -> None:
    (copied / "metadata" / "schemas" / "api_keys.json").write_text(text)
    with pytest.raises(DoesNotLoad, match="the schema of api_keys does not load"):
        load_onboarding_template(copied)
