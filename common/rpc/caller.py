"""Who makes the current call. The authentication interceptor sets it; servicers read it and pass it to use cases as an argument."""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field

from common.errors import ScopeMissing, TenantMismatch
from common.secret import Secret


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `principal` names the key, never its text; `tenant_id` is None for an admin.

    `key` is an admin's key itself, with which the other service is called on the admin's behalf, and empty for a tenant's. It is kept
    nowhere beyond the call.
    """

    principal: str
    tenant_id: str | None
    scopes: frozenset[str] = frozenset()
    key: Secret = field(default=Secret(""), repr=False, compare=False)

    @property
    def is_admin(self) -> bool:
        """Whether the caller holds an admin key and may act for any tenant."""
        return self.tenant_id is None

    def require_tenant(self, tenant_id: str) -> None:
        """Raise TenantMismatch unless the caller may act for `tenant_id`, without looking whether that tenant exists."""
        if not self.is_admin and tenant_id != self.tenant_id:
            raise TenantMismatch

    def require_scopes(self, scopes: Iterable[str]) -> None:
        """Raise ScopeMissing for a scope that the caller lacks: who hands a key on gives nothing that it has not. An admin lacks none."""
        if not self.is_admin and (missing := set(scopes) - self.scopes):
            raise ScopeMissing(min(missing))


_current: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """The caller of the RPC being handled. LookupError outside an authenticated RPC."""
    return _current.get()


def caller_is_unknown() -> bool:
    """Whether nobody is authenticated, yet or at all."""
    return _current.get(None) is None


def set_current_caller(caller: Caller) -> None:
    """Set the caller for the rest of the RPC's task."""
    _current.set(caller)
