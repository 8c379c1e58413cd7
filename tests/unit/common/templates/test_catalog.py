"""The catalog: what it lists, and how it follows the files."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import TemplateInvalid, TemplateNotFound
from common.templates.catalog import Catalog, default_configs_dir
from common.templates.template import TemplateName

GOOD = """\
description: {}
steps: [{{id: a, type: query, sql: SELECT 1 AS x, destination: {{table: {}, write: replace_table}}}}]
"""


def write(configs: Path, name: str, text: str) -> None:
    (configs / "gcp" / "cost" / f"{name}.yml").write_text(text)


def loaded(configs: Path) -> Catalog:
    catalog = Catalog(configs)
    catalog.load()
    return catalog


def states(catalog: Catalog) -> dict[str, str]:
    return {entry.name.template_name: entry.state for entry in catalog.list()}


def test_the_shipped_templates_are_found_beside_the_package(shipped: Catalog) -> None:
    assert (default_configs_dir() / "gcp" / "example" / "dryrun.yml").is_file()
    listed = [(*entry.name, entry.state) for entry in shipped.list()]
    assert listed == sorted(listed)
    assert ("gcp", "cost", "bill-sample-export-template", "VALID") in listed
    assert ("gcp", "example", "dryrun", "VALID") in listed
    assert shipped.destination_tables() == {"cost_daily": "usage_date", "dryrun": None, "exchange_rates": None}


def test_reserved_and_other_folders_hold_no_templates(configs: Path) -> None:
    for folder in ("customer/x", "metadata/schemas", "gcp", "gcp/cost/deeper"):
        (configs / folder).mkdir(parents=True, exist_ok=True)
        (configs / folder / "a.yml").write_text("nonsense")
    write(configs, ".hidden", "nonsense")
    assert loaded(configs).list() == []


def test_an_unknown_template_is_answered_with_the_nearest_names(shipped: Catalog) -> None:
    with pytest.raises(TemplateNotFound) as caught:
        shipped.get(TemplateName("gcp", "cost", "bill-sample-export"))
    assert caught.value.metadata["nearest"].startswith("gcp/cost/bill-sample-export-template")
    for name in ("../../etc/passwd", "", "x" * 10_000, "bill-sample-export-template.yml"):
        with pytest.raises(TemplateNotFound):
            shipped.get(TemplateName("gcp", "cost", name))


def test_a_template_that_does_not_load_is_listed_and_stops_nobody(configs: Path) -> None:
    write(configs, "bad", "description: x\nsteps:\n  - {id: a, type: shell}\n")
    write(configs, "good", GOOD.format("x", "t"))
    (configs / "gcp" / "cost" / "folder.yml").mkdir()
    write(configs, "Bad Name", GOOD.format("x", "u"))
    catalog = loaded(configs)
    assert states(catalog) == {"Bad Name": "INVALID", "bad": "INVALID", "folder": "INVALID", "good": "VALID"}
    with pytest.raises(TemplateInvalid) as caught:
        catalog.get(TemplateName("gcp", "cost", "bad"))
    assert caught.value.metadata["problem"].startswith("gcp/cost/bad.yml:3: ")
    assert catalog.destination_tables() == {"t": None}


def test_an_invalid_edit_keeps_the_last_good_version_marked_stale(configs: Path) -> None:
    write(configs, "a", GOOD.format("first", "t"))
    catalog = loaded(configs)
    first = catalog.get(TemplateName("gcp", "cost", "a"))
    write(configs, "a", "description: {")
    for _ in range(2):
        catalog.load()
        (entry,) = catalog.list()
        assert (entry.state, entry.template) == ("STALE", first)
        assert entry.problems[0].line == 1
    write(configs, "a", GOOD.format("second", "t"))
    catalog.load()
    assert (states(catalog), catalog.get(TemplateName("gcp", "cost", "a")).description) == ({"a": "VALID"}, "second")


def test_an_unchanged_file_keeps_its_template_and_one_that_is_gone_leaves(configs: Path) -> None:
    write(configs, "a", GOOD.format("x", "t"))
    write(configs, "b", GOOD.format("x", "u"))
    catalog = loaded(configs)
    kept = catalog.get(TemplateName("gcp", "cost", "a"))
    (configs / "gcp" / "cost" / "b.yml").unlink()
    catalog.load()
    assert catalog.get(TemplateName("gcp", "cost", "a")) is kept
    assert states(catalog) == {"a": "VALID"}


def test_a_directory_that_is_missing_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        loaded(tmp_path / "missing")


async def test_changes_are_followed_until_cancelled(configs: Path) -> None:
    write(configs, "a", GOOD.format("first", "t"))
    catalog = loaded(configs)
    watching = asyncio.create_task(catalog.watch())
    try:
        write(configs, "b", GOOD.format("x", "u"))
        await until(watching, lambda: states(catalog) == {"a": "VALID", "b": "VALID"})
        write(configs, "a", "description: {")
        await until(watching, lambda: states(catalog) == {"a": "STALE", "b": "VALID"})
        write(configs, "a", GOOD.format("second", "t"))
        await until(watching, lambda: catalog.get(TemplateName("gcp", "cost", "a")).description == "second")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert watching.cancelled()


async def until(watching: asyncio.Task[None], condition: Callable[[], bool]) -> None:
    """Return once the condition holds, as long as the task goes on."""
    async with asyncio.timeout(30):
        while not condition():
            done, _ = await asyncio.wait([watching], timeout=0.02)
            assert not done, watching.exception()
