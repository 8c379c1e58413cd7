"""`python -m pipeline_service`: settings, wiring, serving until a signal."""

import asyncio

from common import logs
from common.rpc.server import serve_until_signalled
from common.settings import load
from pipeline_service.bootstrap import pipeline_server
from pipeline_service.settings import PipelineServiceSettings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = load(PipelineServiceSettings)
    logs.configure(output=settings.log_format, level=settings.log_level)
    asyncio.run(_serve(settings))


async def _serve(settings: PipelineServiceSettings) -> None:
    async with pipeline_server(settings) as server:
        await serve_until_signalled(server)


if __name__ == "__main__":
    main()
