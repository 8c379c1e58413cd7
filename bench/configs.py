"""The configs that the measured stack runs with: the shipped ones, and a template of three small steps."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.templates.catalog import default_configs_dir
from common.templates.template import TemplateName

THREE_STEPS = TemplateName("bench", "steps", "three")
_TEXT = """\
description: Three steps that wait for each other and have next to nothing to do
parameters:
  date: {type: date, required: true}
steps:
  - id: first
    type: query
    sql: SELECT @date AS day, 1 AS number
    destination: {table: bench_first, write: replace_partition, partition: {column: day, value: "{date}"}}
  - id: second
    type: query
    sql: SELECT day, number + 1 AS number FROM {tenant_id}.bench_first WHERE day = @date
    destination: {table: bench_second, write: replace_partition, partition: {column: day, value: "{date}"}}
  - id: third
    type: query
    sql: SELECT day, number + 1 AS number FROM {tenant_id}.bench_second WHERE day = @date
    destination: {table: bench_third, write: replace_partition, partition: {column: day, value: "{date}"}}
"""


@contextmanager
def bench_configs() -> Iterator[Path]:
    """The folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder:
        configs_dir = Path(folder, "configs")
        shutil.copytree(default_configs_dir(), configs_dir)
        file = configs_dir / f"{THREE_STEPS}.yml"
        file.parent.mkdir(parents=True)
        file.write_text(_TEXT)
        yield configs_dir
