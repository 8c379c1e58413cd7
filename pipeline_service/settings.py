"""Settings of PipelineService, read once at start-up from the environment and `.env`."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from common.credentials.settings import CredentialSettings
from common.encryption.settings import KmsSettings
from common.rpc.settings import AuthSettings, ServerSettings
from common.settings import Endpoint
from common.telemetry.settings import TelemetrySettings
from common.templates.settings import ConfigsSettings
from common.warehouse.estimate import MINIMUM_BILLED_BYTES
from pipeline_service.load_settings import LoadSettings
from pipeline_service.temporal_settings import TemporalSettings


class PipelineServiceSettings(
    ServerSettings,
    AuthSettings,
    LoadSettings,
    KmsSettings,
    CredentialSettings,
    ConfigsSettings,
    TemporalSettings,
    TelemetrySettings,
):
    """Everything that PipelineService can be told."""

    listen_address: Endpoint = "127.0.0.1:50052"
    """Address to listen on, `host:port`; port 0 takes a free one."""
    role: Literal["api", "worker", "all"] = "all"
    """What this process does: answer calls, execute runs, or both. Each scales by itself; a worker serves health and nothing else.
    The command's `--role` goes before the variable."""
    price_per_tib_usd: Decimal = Field(Decimal("6.25"), ge=0, le=1000, decimal_places=9)
    """What BigQuery bills for a TiB (2^40 bytes) that a query reads, in USD, for plans; 6.25 on demand in the US. For capacity that is paid
    for anyway, 0."""
    max_active_runs_per_tenant: int = Field(10, ge=1, le=1000)
    """Runs of one tenant that are active at once; the others wait, PENDING, in the order in which they were accepted. The same for every
    process of one installation."""
    max_active_runs_per_template: int = Field(5, ge=1, le=1000)
    """How many of them may be runs of one template. A template may lower it by `max_active_runs`."""
    max_bytes_per_run: int | None = Field(None, ge=MINIMUM_BILLED_BYTES, le=2**60)
    """Bytes that the statements of one run together may bill; unset for any number. A template may lower it by `max_bytes`. The same for
    every process of one installation."""
    max_bytes_per_tenant_per_day: int | None = Field(None, ge=MINIMUM_BILLED_BYTES, le=2**60)
    """Bytes that all runs of one tenant together may bill on one day (UTC); unset for any number. The same for every process of one
    installation."""
    cancel_margin_seconds: float = Field(5.0, ge=0, le=600)
    """How much longer than the bound of a suspension CancelRuns looks for runs, in seconds: for calls that were let in within the bound and
    start their run after it, and because the engine lists a run a moment after its start."""
