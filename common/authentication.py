"""The authentication that both services share, wired from settings."""

from dataclasses import dataclass

from common.api_keys.store import KeyStore
from common.api_keys.verifier import KeyVerifier
from common.clock import Clock
from common.rpc.settings import AuthSettings
from common.tenants.directory import TenantDirectory
from common.tenants.sources import SourceGrants
from common.tenants.tenants import Tenants
from common.warehouse.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Authentication:
    """Who holds a key, and what is known of tenants; both from one directory."""

    verifier: KeyVerifier
    tenants: Tenants


def open_authentication(settings: AuthSettings, warehouse: Warehouse, clock: Clock) -> Authentication:
    """Wire the directory, the key verifier and the grants. Nothing is read until the first call."""
    bound, wait = settings.auth_bound_seconds, settings.auth_wait_seconds
    directory = TenantDirectory(warehouse, bound_seconds=bound, wait_seconds=wait, clock=clock)
    verifier = KeyVerifier(
        admin_digests=settings.admin_key_hashes,
        directory=directory,
        load_keys=KeyStore(warehouse).load,
        bound_seconds=bound,
        wait_seconds=wait,
        clock=clock,
    )
    grants = SourceGrants(warehouse, bound_seconds=bound, wait_seconds=wait, clock=clock)
    return Authentication(verifier, Tenants(directory, grants))
