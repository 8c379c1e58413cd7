"""`python -m tenant_service`: TenantService until a signal."""

from common.rpc.run_service import run_service
from tenant_service.bootstrap import tenant_server
from tenant_service.settings import TenantServiceSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    run_service(TenantServiceSettings, tenant_server)


if __name__ == "__main__":
    main()
