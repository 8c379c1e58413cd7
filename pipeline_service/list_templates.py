"""ListTemplates: the catalog, page by page."""

from common.fields import Fields
from common.paging import Page, cut_page, page_request
from common.templates.catalog import Catalog, CatalogEntry

_KEY_LENGTH = 3


class ListTemplates:
    """The use case."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def __call__(self, *, page_size: int, page_token: str) -> Page[CatalogEntry]:
        """One page, in the order of provider, domain and name. Raises InvalidInput."""
        fields = Fields()
        request = page_request(
            fields, page_size=page_size, page_token=page_token, bound_to="ListTemplates", key_length=_KEY_LENGTH
        )
        fields.require_valid()
        return cut_page(self._catalog.list(), request, lambda entry: tuple(entry.name))
