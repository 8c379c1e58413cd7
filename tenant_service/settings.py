"""Settings of TenantService, read once at start-up from the environment and `.env`."""

from pydantic import Field

from common.credentials.settings import CredentialSettings
from common.encryption.settings import KmsSettings
from common.rpc.settings import AuthSettings, ServerSettings
from common.settings import Endpoint
from common.telemetry.settings import TelemetrySettings
from common.templates.settings import ConfigsSettings
from common.warehouse.settings import WarehouseSettings
from tenant_service.pipeline_settings import PipelineClientSettings


class TenantServiceSettings(
    ServerSettings,
    AuthSettings,
    WarehouseSettings,
    KmsSettings,
    CredentialSettings,
    ConfigsSettings,
    PipelineClientSettings,
    TelemetrySettings,
):
    """Everything that TenantService can be told."""

    listen_address: Endpoint = "127.0.0.1:50051"
    """Address to listen on, `host:port`; port 0 takes a free one."""
    key_max_age_days: int = Field(default=90, ge=1, le=3650)
    """The rotation policy: after how many days an API key is listed as overdue for rotation. Nothing is refused for it."""
