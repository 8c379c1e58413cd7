"""The shipped templates, and a DuckDB to run them on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.templates.catalog import Catalog, default_configs_dir
from common.templates.load import load_template
from common.templates.template import Template, TemplateName
from tests.unit.common.templates.duck import Duck

Load = Callable[[str], Template]


@pytest.fixture(scope="session")
def shipped() -> Catalog:
    catalog = Catalog(default_configs_dir())
    catalog.load()
    return catalog


@pytest.fixture
def duck() -> Iterator[Duck]:
    duck = Duck()
    yield duck
    duck.close()


@pytest.fixture
def load() -> Load:
    return lambda text: load_template(text.encode(), TemplateName("gcp", "cost", "example"))


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """An empty configs directory."""
    (tmp_path / "gcp" / "cost").mkdir(parents=True)
    return tmp_path
