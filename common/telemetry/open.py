"""Opens what sends telemetry, where the settings ask for it. The SDK is imported only then: it is 5 MB of memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.telemetry.settings import TelemetrySettings
from common.telemetry.telemetry import Telemetry


@asynccontextmanager
async def open_telemetry(settings: TelemetrySettings, *, service: str) -> AsyncIterator[Telemetry | None]:
    """Where to tell, for the process of that `service`; None where nobody is to be told. At the end what was told last is sent, within
    FLUSH_SECONDS whatever the receiver does. Raises OSError and ValueError for files that the settings name."""
    if settings.otlp_endpoint is None:
        yield None
        return
    from common.telemetry.otlp import exporting  # noqa: PLC0415

    async with exporting(settings, service=service) as telemetry:
        yield telemetry
