"""The lint: whatever is wrong under configs/ is told with file and line, and in the exit status."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.templates.catalog import default_configs_dir
from common.templates.lint import lint, main

GOOD = (
    "description: x\nsteps: [{id: a, type: query, sql: SELECT 1 AS x, destination: {table: t, write: replace_table}}]\n"
)
DRY_RUN = "gcp/example/dryrun.yml"
ONBOARDING = "customer/onboarding-template.yml"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(default_configs_dir(), tmp_path / "configs")
    return tmp_path / "configs"


def problems(configs: Path) -> list[str]:
    return [str(problem) for problem in lint(configs)[1]]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_shipped_configs_have_no_problem_and_the_summary_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    configs = default_configs_dir()
    assert main([str(configs)]) == 0
    printed = capsys.readouterr()
    templates, schemas = len(list(configs.glob("gcp/*/*.yml"))), len(list(configs.glob("metadata/schemas/*.json")))
    assert printed.out == f"{configs}: {templates} templates, the onboarding template and {schemas} schemas load\n"
    assert printed.err == ""


def test_every_problem_of_every_file_is_printed_with_its_line_and_the_status_is_1(copied: Path) -> None:
    edit(copied / DRY_RUN, "type: not_null", "type: not_nil")
    edit(copied / DRY_RUN, "timeout: 1m", "timeout: soon")
    (copied / "gcp" / "cost" / "other.yml").write_text("description: {nope}\nsteps: [{}]\n")
    (copied / "metadata" / "schemas" / "api_keys.json").write_text("{\n  nope\n}")
    command = [sys.executable, "-m", "common.templates.lint", str(copied)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = ended.stdout.splitlines()
    expected = [
        (ONBOARDING, 8, "the schema of api_keys does not load"),
        ("gcp/cost/other.yml", 1, "description: Input should be a valid string"),
        (DRY_RUN, 13, "Input tag 'not_nil'"),
        (DRY_RUN, 15, "timeout: must be a duration"),
        ("metadata/schemas/api_keys.json", 2, "is not JSON"),
    ]
    for file, line, reason in expected:
        assert any(text.startswith(f"{copied / file}:{line}: ") and reason in text for text in lines), (file, lines)
    assert (ended.returncode, ended.stderr) == (1, f"{len(lines)} problems in {copied}\n")


@pytest.mark.parametrize("file", ["gcp/a.yml", "gcp/cost/deep/a.yml", "gcp/cost/a.yaml", "customer/x/a.yml", "a.yml"])
def test_a_template_where_nobody_reads_it_is_a_problem(copied: Path, file: str) -> None:
    (copied / file).parent.mkdir(parents=True, exist_ok=True)
    (copied / file).write_text(GOOD)
    (copied / "gcp" / ".a.yml").write_text(GOOD)
    assert problems(copied) == [
        f"{file}:1: nobody reads this file: a template is {{provider}}/{{domain}}/{{template_name}}.yml"
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('"name": "key_id"', '"name": "key id"', 6, "name: String should match pattern"),
        ('"mode": "REQUIRED"', '"mode": "SOMETIMES"', 6, "mode: Input should be 'NULLABLE', 'REQUIRED' or 'REPEATED'"),
        ('"schema"', '"shcema"', 3, "unknown key 'shcema'"),
        ('"type": "STRING"', '"type": "TEXT"', 6, "type: Input should be"),
    ],
)
def test_a_faulty_schema_is_named_with_its_line(copied: Path, old: str, new: str, line: int, reason: str) -> None:
    path = copied / "metadata" / "schemas" / "extra.json"
    path.write_text(
        '{\n  "description": "x",\n  "schema": {\n    "fields": [\n'
        '      {"name": "at", "type": "TIMESTAMP"},\n      {"name": "key_id", "mode": "REQUIRED", "type": "STRING"}\n    ]\n  }\n}\n'
    )
    assert problems(copied) == []
    edit(path, old, new)
    found = problems(copied)
    assert any(text.startswith(f"metadata/schemas/extra.json:{line}: ") and reason in text for text in found), found


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("date: {type: date,", "date: {type: date, required: true, ", ""),
        ("date: {type: date,", "day: {type: date, ", "takes no date, which a dry run gives"),
        ("parameters:", "parameters:\n  x: {type: json, required: true}", "requires what a dry run does not give: x"),
        ("succeeded", "succeeded FROM `{source.rates}`", "reads sources that a new tenant lacks: rates"),
        ("succeeded", "succeeded FROM `{source.billing_export}`", ""),
    ],
)
def test_a_dry_run_that_no_new_tenant_can_pass_is_a_problem_of_the_onboarding_template(
    copied: Path, old: str, new: str, reason: str
) -> None:
    edit(copied / DRY_RUN, old, new)
    if "takes no date" in reason:
        edit(copied / DRY_RUN, "@date", "@day")
    found = [text for text in problems(copied) if text.startswith(ONBOARDING)]
    assert len(found) == bool(reason)
    assert not reason or (found[0].startswith(f"{ONBOARDING}:17: ") and found[0].endswith(reason)), found


def test_a_dry_run_that_does_not_load_is_a_problem_of_both_files(copied: Path) -> None:
    edit(copied / DRY_RUN, "@date AS", "@day AS")
    assert [text.rpartition(": ")[0] for text in problems(copied)] == [f"{ONBOARDING}:17", f"{DRY_RUN}:10"]


def test_a_dry_run_that_is_gone_and_an_onboarding_template_that_is_none_are_told(copied: Path) -> None:
    (copied / DRY_RUN).unlink()
    assert problems(copied) == [f"{ONBOARDING}:17: there is no template gcp/example/dryrun"]
    (copied / ONBOARDING).unlink()
    assert [text.partition(": ")[0] for text in problems(copied)] == [f"{ONBOARDING}:1"]


def test_a_directory_that_is_missing_ends_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "missing")]) == 2
    assert "is no directory" in capsys.readouterr().err
