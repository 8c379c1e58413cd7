"""sqlglot loads a dialect when it is first named, and gives another thread what it has of it by then: ours must not wait for that."""

import subprocess
import sys

import pytest

PROGRAM = "import {module}; from sqlglot.dialects.dialect import Dialect; print(*Dialect._classes)"


@pytest.mark.parametrize(
    ("module", "dialects"),
    [("local_stack.warehouse.transpile", {"bigquery", "duckdb"}), ("common.templates.grammar", {"bigquery"})],
)
def test_dialects_are_loaded_with_the_module_that_uses_them(module: str, dialects: set[str]) -> None:
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert dialects <= set(loaded)
