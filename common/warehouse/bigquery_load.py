"""What a load job is told, so that BigQuery guesses nothing and skips nothing.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad
"""

from typing import Any

from common.warehouse.bigquery_types import field_resource
from common.warehouse.file_formats import LoadFormat
from common.warehouse.warehouse import LoadJob

_FORMATS: dict[LoadFormat, str] = {"csv": "CSV", "ndjson": "NEWLINE_DELIMITED_JSON", "parquet": "PARQUET"}


def load_configuration(job: LoadJob) -> dict[str, Any]:
    """The part of a JobConfigurationLoad that says what is read and how. Where it goes is a destination's."""
    return {
        "sourceUris": [job.uri],
        "sourceFormat": _FORMATS[job.format],
        "createDisposition": "CREATE_IF_NEEDED",
        "autodetect": False,
        "maxBadRecords": 0,
        "ignoreUnknownValues": False,
        **({"schema": {"fields": [field_resource(column) for column in job.columns]}} if job.columns else {}),
        **_of_format(job),
    }


def _of_format(job: LoadJob) -> dict[str, Any]:
    match job.format:
        case "csv":
            return {
                "encoding": "UTF-8",
                "fieldDelimiter": job.csv.delimiter,
                "skipLeadingRows": str(job.csv.skip_leading_rows),
                "nullMarker": job.csv.null_marker,
                "quote": '"',
                "allowQuotedNewlines": True,
                "allowJaggedRows": False,
            }
        case "ndjson":
            return {"encoding": "UTF-8"}
        case "parquet":
            return {"parquetOptions": {"enableListInference": True}}  # a list is an array, not a record of one
