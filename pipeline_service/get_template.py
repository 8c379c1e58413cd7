"""GetTemplate: one template of the catalog, also one that does not load."""

from common.fields import Fields
from common.templates.catalog import Catalog, CatalogEntry
from common.templates.template import TemplateName


class GetTemplate:
    """The use case."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def __call__(self, *, provider: str, domain: str, template_name: str) -> CatalogEntry:
        """The template as the catalog has it. Raises InvalidInput, TemplateNotFound (metadata `nearest`)."""
        fields = Fields()
        fields.template(provider, domain, template_name)
        fields.require_valid()
        return self._catalog.entry(TemplateName(provider, domain, template_name))
