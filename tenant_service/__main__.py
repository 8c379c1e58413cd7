"""`python -m tenant_service`: settings, wiring, serving until a signal."""

import asyncio

from common import logs
from common.rpc.server import serve_until_signalled
from common.settings import load
from tenant_service.bootstrap import tenant_server
from tenant_service.settings import TenantServiceSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = load(TenantServiceSettings)
    logs.configure(output=settings.log_format, level=settings.log_level)
    asyncio.run(_serve(settings))


async def _serve(settings: TenantServiceSettings) -> None:
    async with tenant_server(settings) as server:
        await serve_until_signalled(server)


if __name__ == "__main__":
    main()
