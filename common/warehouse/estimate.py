"""What a statement would read, and where that is known from."""

from dataclasses import dataclass
from typing import Literal

MINIMUM_BILLED_BYTES = 10 * 2**20
"""What BigQuery bills at least for each table that a statement reads: https://cloud.google.com/bigquery/pricing#on_demand_pricing"""
EstimateBasis = Literal[
    "dry_run", "dry_run_at_least", "dry_run_at_most", "dry_run_unsure", "table_sizes", "table_missing"
]
"""Where an estimate comes from. `dry_run`: what BigQuery says that the statement will read, which is what it bills but for its minimum a
table. `dry_run_at_least`, `dry_run_at_most`: a bound of that, by BigQuery's own word: clustered tables are pruned only as the statement
runs, so it may read less; external tables it may not know. `dry_run_unsure`: BigQuery does not say how exact it is. `table_sizes`: the
sizes of all tables named, with every column and partition. `table_missing`: nothing is known, since a table does not exist yet."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The bytes that a statement would read if it ran now; None where the basis is `table_missing`. A promise of nothing: tables grow
    until it runs. `tables` is how many it reads, also behind views; 0 where that is not known."""

    bytes_processed: int | None
    basis: EstimateBasis
    tables: int = 0
