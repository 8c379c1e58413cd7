"""How files that are loaded are written."""

from dataclasses import dataclass
from typing import Literal

LoadFormat = Literal["csv", "ndjson", "parquet"]


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How a CSV file is written, in the words of BigQuery's load job. Fields are quoted by `"`, which may hold line ends and, doubled, a
    quote. `null_marker`, unquoted, is NULL; where it is not empty, an empty field is an empty text, and malformed for other types."""

    delimiter: str = ","
    skip_leading_rows: int = 0
    null_marker: str = ""
