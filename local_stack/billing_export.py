"""The schema of Google's standard billing export, as far as the sample fills it.

https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/standard-usage
"""

import pyarrow as pa

from common.warehouse.columns import Column, ColumnType, Mode


def _strings(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "STRING") for name in names)


def _record(name: str, *fields: Column, mode: Mode = "NULLABLE") -> Column:
    return Column(name, "RECORD", mode, fields)


def _labels(name: str) -> Column:
    return _record(name, *_strings("key", "value"), mode="REPEATED")


COLUMNS: tuple[Column, ...] = (
    Column("billing_account_id", "STRING"),
    _record("service", *_strings("id", "description")),
    _record("sku", *_strings("id", "description")),
    Column("usage_start_time", "TIMESTAMP"),
    Column("usage_end_time", "TIMESTAMP"),
    _record(
        "project",
        *_strings("id", "number", "name"),
        _labels("labels"),
        Column("ancestry_numbers", "STRING"),
        _record("ancestors", *_strings("resource_name", "display_name"), mode="REPEATED"),
    ),
    _labels("labels"),
    _labels("system_labels"),
    _record("location", *_strings("location", "country", "region", "zone")),
    _record(
        "tags", *_strings("key", "value"), Column("inherited", "BOOL"), Column("namespace", "STRING"), mode="REPEATED"
    ),
    Column("export_time", "TIMESTAMP"),
    Column("cost", "FLOAT64"),
    Column("currency", "STRING"),
    Column("currency_conversion_rate", "FLOAT64"),
    _record(
        "usage",
        Column("amount", "FLOAT64"),
        Column("unit", "STRING"),
        Column("amount_in_pricing_units", "FLOAT64"),
        Column("pricing_unit", "STRING"),
    ),
    _record(
        "credits",
        Column("name", "STRING"),
        Column("amount", "FLOAT64"),
        *_strings("full_name", "id", "type"),
        mode="REPEATED",
    ),
    _record("invoice", Column("month", "STRING")),
    Column("cost_type", "STRING"),
    _record("adjustment_info", *_strings("id", "description", "mode", "type")),
)

_ARROW: dict[ColumnType, pa.DataType] = {
    "STRING": pa.string(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
}


def arrow_type(column: Column) -> pa.DataType:
    """A column's type in Arrow, its mode REPEATED included."""
    fields = [pa.field(field.name, arrow_type(field)) for field in column.fields]
    element = pa.struct(fields) if column.type == "RECORD" else _ARROW[column.type]
    return pa.list_(element) if column.mode == "REPEATED" else element


ARROW_SCHEMA = pa.schema([pa.field(column.name, arrow_type(column)) for column in COLUMNS])
