"""Who holds a key: the authentication that both services share, wired from settings."""

from common.api_keys.store import KeyStore
from common.api_keys.usage import KeyUsage
from common.api_keys.verifier import KeyVerifier
from common.clock import Clock
from common.rpc.settings import AuthSettings
from common.tenants.directory import TenantDirectory
from common.tenants.sources import SourceGrants
from common.tenants.tenants import Tenants
from common.warehouse.effects import Effects
from common.warehouse.warehouse import Warehouse


def open_directory(settings: AuthSettings, warehouse: Warehouse, clock: Clock) -> TenantDirectory:
    """The tenants; one for the process. Nothing is read until the first call."""
    return TenantDirectory(
        warehouse, bound_seconds=settings.auth_bound_seconds, wait_seconds=settings.auth_wait_seconds, clock=clock
    )


def open_usage(settings: AuthSettings, warehouse: Warehouse, clock: Clock) -> KeyUsage:
    """What notes when keys are used; one for the process."""
    return KeyUsage(Effects(warehouse, clock), interval_seconds=settings.last_used_interval_seconds, clock=clock)


def open_verifier(
    settings: AuthSettings, warehouse: Warehouse, directory: TenantDirectory, usage: KeyUsage, clock: Clock
) -> KeyVerifier:
    """What tells who holds a key. Raises OSError or ValueError for a file of admin hashes that does not do."""
    return KeyVerifier(
        admin_digests=settings.known_admin_hashes(),
        directory=directory,
        load_keys=KeyStore(warehouse).load,
        usage=usage,
        bound_seconds=settings.auth_bound_seconds,
        wait_seconds=settings.auth_wait_seconds,
        clock=clock,
    )


def open_tenants(settings: AuthSettings, warehouse: Warehouse, directory: TenantDirectory, clock: Clock) -> Tenants:
    """What running a template needs to know of tenants."""
    grants = SourceGrants(
        warehouse, bound_seconds=settings.auth_bound_seconds, wait_seconds=settings.auth_wait_seconds, clock=clock
    )
    return Tenants(directory, grants)
