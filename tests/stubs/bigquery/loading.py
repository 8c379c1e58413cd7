"""Load jobs: files of a bucket, which is a folder of the test's, read as a JobConfigurationLoad says.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import Terminal
from common.warehouse.columns import Column
from common.warehouse.file_formats import CsvOptions, LoadFormat
from common.warehouse.warehouse import Destination, LoadJob, TableRef
from local_stack.warehouse.files.folders import Folders
from local_stack.warehouse.files.reading import FileRows
from local_stack.warehouse.files.refused import FileRefused
from tests.stubs.bigquery.answers import ApiError

_FORMATS: Mapping[str, LoadFormat] = {"CSV": "csv", "NEWLINE_DELIMITED_JSON": "ndjson", "PARQUET": "parquet"}


def opened_files(
    job_id: str, load: Mapping[str, Any], columns: tuple[Column, ...], buckets: Mapping[str, Path]
) -> FileRows:
    """The rows of the job's files. What it does not say has BigQuery's default, and what the stub does not know it refuses."""
    if load.get("autodetect") or int(load.get("maxBadRecords", 0)) or load.get("ignoreUnknownValues"):
        raise ApiError("notImplemented", "This stub guesses nothing and skips nothing")
    kind = _FORMATS[load.get("sourceFormat", "CSV")]
    if kind == "csv" and not (load.get("allowQuotedNewlines") and load.get("quote", '"') == '"'):
        raise ApiError("notImplemented", "This stub takes line ends inside quotes")
    if kind == "parquet" and not load.get("parquetOptions", {}).get("enableListInference"):
        raise ApiError("notImplemented", "This stub makes arrays of lists")
    options = CsvOptions(
        load.get("fieldDelimiter", ","), int(load.get("skipLeadingRows", 0)), load.get("nullMarker", "")
    )
    (uri,) = load["sourceUris"]
    destination = Destination(TableRef("", ""))  # which is not asked for here
    try:
        return FileRows(
            LoadJob(job_id, uri, kind, columns, destination, options),
            Folders({f"gs://{b}": f for b, f in buckets.items()}),
        )
    except Terminal as error:
        raise as_api_error(error, load) from error


def as_api_error(error: Exception, load: Mapping[str, Any]) -> ApiError:
    """How BigQuery tells of it: with the file, the byte where the row begins, and the value, which is not for the caller."""
    (uri,) = load["sourceUris"]
    if isinstance(error, Terminal) and error.reason == "SOURCE_FILES_MISSING":
        return ApiError("notFound", f"Not found: Uris {uri}")
    text = f"Error while reading data, error message: Could not parse 'hunter2' starting at location 12 {error}"
    bucket = "/".join(uri.split("/")[:3])
    return ApiError("invalid", text, location=f"{bucket}/{error.file}" if isinstance(error, FileRefused) else uri)
