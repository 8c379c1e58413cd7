"""Rows of a BigQuery table or result, read with tabledata.list: no job, nothing billed, a page at a time."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from google.cloud import bigquery

from common.warehouse.bigquery_calls import BigQueryCalls
from common.warehouse.bigquery_types import as_text, column
from common.warehouse.columns import Column
from common.warehouse.warehouse import Row


class BigQueryRows:
    """A `RowStream` over the table that a finished query wrote its result to."""

    def __init__(
        self, calls: BigQueryCalls, table: bigquery.Table, *, page_size: int, bytes_processed: int, bytes_billed: int
    ) -> None:
        self.columns: tuple[Column, ...] = tuple(column(field) for field in table.schema)
        self.bytes_processed = bytes_processed
        self.bytes_billed = bytes_billed
        self._calls = calls
        self._table = table
        self._page_size = page_size
        self._pages: Iterator[Any] | None = None
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[Sequence[Row]]:
        """Yield pages of at least one row each; the next is fetched when it is asked for."""
        while not self._closed:
            page = await self._calls.run(self._next_page)
            if page is None:
                return
            if page:
                yield page

    async def close(self) -> None:
        """Stop reading. The result itself expires by its own."""
        self._closed = True

    def _next_page(self, **limits: Any) -> list[Row] | None:
        if self._pages is None:
            self._pages = _pages(self._calls.client, self._table, page_size=self._page_size, **limits)
        page = next(self._pages, None)
        return None if page is None else [dict(row.items()) for row in page]


def all_rows(client: bigquery.Client, table: bigquery.TableReference, **limits: Any) -> list[Row]:
    """Every row of a small table, in this thread."""
    found = client.get_table(table, **limits)
    return [dict(row.items()) for page in _pages(client, found, page_size=None, **limits) for row in page]


def _pages(client: bigquery.Client, table: bigquery.Table, *, page_size: int | None, **limits: Any) -> Iterator[Any]:
    fields = [as_text(field) for field in table.schema]
    pages: Iterator[Any] = client.list_rows(table, selected_fields=fields, page_size=page_size, **limits).pages
    return pages
