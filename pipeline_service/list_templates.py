"""ListTemplates: the catalog, page by page."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

from common.fields import Fields
from common.templates.catalog import Catalog, CatalogEntry
from common.templates.template import TemplateName

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class TemplatesPage:
    """Templates in order, and the token of the next page, "" on the last."""

    entries: Sequence[CatalogEntry]
    next_page_token: str


class ListTemplates:
    """The use case."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def __call__(self, *, page_size: int, page_token: str) -> TemplatesPage:
        """One page. Templates that come and go between pages make no other be missed or repeated. Raises InvalidInput."""
        fields = Fields()
        if not 0 <= page_size <= MAX_PAGE_SIZE:
            fields.violation("page_size", f"must be 0 to {MAX_PAGE_SIZE}")
        after = _last_of_page_before(page_token, fields)
        fields.require_valid()
        size = page_size or DEFAULT_PAGE_SIZE
        rest = [entry for entry in self._catalog.list() if after is None or entry.name > after]
        page = rest[:size]
        return TemplatesPage(page, _token(page[-1].name) if len(rest) > size else "")


def _token(last: TemplateName) -> str:
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


def _last_of_page_before(token: str, fields: Fields) -> TemplateName | None:
    if not token:
        return None
    try:
        provider, domain, name = map(str, json.loads(base64.urlsafe_b64decode(token)))
        return TemplateName(provider, domain, name)
    except (ValueError, TypeError, RecursionError):
        fields.violation("page_token", "is no token of an earlier answer")
        return None
