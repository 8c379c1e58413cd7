"""Where files may be loaded from: the places that the settings name, by the names that templates give them."""

from collections.abc import Mapping

from common.errors import LocationNotAllowed, Violation
from common.templates.file_uri import lies_below


class Locations:
    """Places by name, each `gs://bucket/path` or an absolute path without a slash at its end. `own` hold files of tenants, each below a
    part of the path that is the tenant's id; `shared` what every tenant may read."""

    def __init__(self, *, own: Mapping[str, str], shared: Mapping[str, str]) -> None:
        self._own = own
        self._shared = shared

    @property
    def places(self) -> Mapping[str, str]:
        """The places by their placeholders, `location.NAME` and `shared.NAME`."""
        own = {f"location.{name}": place for name, place in self._own.items()}
        return own | {f"shared.{name}": place for name, place in self._shared.items()}

    def require_allowed(self, uri: str, tenant_id: str) -> None:
        """Require that a tenant may load what a uri means. Raises LocationNotAllowed."""
        if any(lies_below(uri, place) for place in self._shared.values()):
            return
        for place in self._own.values():
            if lies_below(uri, place) and tenant_id in uri.removeprefix(f"{place}/").split("/"):
                return
        raise LocationNotAllowed([Violation("template", "loads files from where none may be loaded any more")])
