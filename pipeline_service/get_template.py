"""GetTemplate: one template of the catalog, also one that does not load."""

from common.fields import Fields
from common.ids import PATH_NAME, TEMPLATE_NAME
from common.templates.catalog import Catalog, CatalogEntry


class GetTemplate:
    """The use case."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def __call__(self, *, provider: str, domain: str, template_name: str) -> CatalogEntry:
        """The template as the catalog has it. Raises InvalidInput, TemplateNotFound (metadata `nearest`)."""
        fields = Fields()
        fields.pattern("provider", provider, PATH_NAME)
        fields.pattern("domain", domain, PATH_NAME)
        fields.pattern("template_name", template_name, TEMPLATE_NAME)
        fields.require_valid()
        return self._catalog.entry(provider, domain, template_name)
