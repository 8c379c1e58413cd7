"""ReadTable: the rows of a table that a template publishes in the tenant's dataset."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import date

from common.errors import ObjectNotFound, TableNotAllowed, TableNotFound, Violation
from common.fields import Fields
from common.rpc.caller import Caller
from common.templates.catalog import Catalog
from common.warehouse.columns import Column
from common.warehouse.warehouse import Row, Statement, Table, TableRef, Warehouse
from pipeline_service.days import days_between

DEFAULT_PAGE_SIZE = 500
MAX_PAGE_SIZE = 5000
_READ_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class TablePage:
    """Rows, and the columns that they have."""

    columns: tuple[Column, ...]
    rows: Sequence[Row]


class ReadTable:
    """The use case. Rows come in the order of the partition column and of the table's clustering, which costs little; among rows that
    agree in these the order is not defined."""

    def __init__(self, catalog: Catalog, warehouse: Warehouse) -> None:
        self._catalog = catalog
        self._warehouse = warehouse

    async def __call__(
        self, caller: Caller, *, tenant_id: str, table: str, start_date: str, end_date: str, page_size: int
    ) -> AsyncGenerator[TablePage]:
        """Yield the columns in a page without rows, then the rows. Closing the iterator stops the reading.

        Raises InvalidInput, TenantMismatch, TableNotAllowed (alike for every table that no template publishes), TableNotFound, Transient.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.optional_days(start_date, end_date)
        if not 0 <= page_size <= MAX_PAGE_SIZE:
            fields.violation("page_size", f"must be 0 to {MAX_PAGE_SIZE}")
        fields.require_valid()
        caller.require_tenant(tenant_id)
        if table not in self._catalog.destination_tables():
            raise TableNotAllowed([Violation("table", "is no table that a template publishes")])
        try:
            published = await self._warehouse.get_table(TableRef(tenant_id, table))
            statement = _select(published, start_date, end_date)
            stream = await self._warehouse.read(
                statement, page_size=page_size or DEFAULT_PAGE_SIZE, timeout_seconds=_READ_SECONDS
            )
        except ObjectNotFound as error:
            raise TableNotFound("No run has published this table yet") from error
        try:
            yield TablePage(stream.columns, ())
            async for rows in stream:
                yield TablePage(stream.columns, rows)
        finally:
            await stream.close()


def _select(table: Table, start_date: str, end_date: str) -> Statement:
    """The SELECT over the wanted days. Raises InvalidInput where the table has none."""
    column = table.spec.partition_column
    fields = Fields()
    if column is None:
        for name, day in (("start_date", start_date), ("end_date", end_date)):
            if day:
                fields.violation(name, "the table is not partitioned by day")
    fields.require_valid()
    first = date.fromisoformat(start_date) if start_date else None
    last = date.fromisoformat(end_date) if end_date else None
    where = days_between(table.spec, column, first, last) if column else "TRUE"
    order = ", ".join(f"`{name}`" for name in dict.fromkeys((*([column] if column else ()), *table.spec.clustering)))
    return Statement(f"SELECT * FROM `{table.ref}` WHERE {where}" + (f" ORDER BY {order}" if order else ""))
