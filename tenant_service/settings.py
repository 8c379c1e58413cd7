"""Settings of TenantService, read once at start-up from the environment and `.env`."""

from pathlib import Path

from pydantic import model_validator

from common.encryption.settings import KmsSettings
from common.network import is_loopback
from common.rpc.settings import AuthSettings, ServerSettings
from common.warehouse.settings import WarehouseSettings


class TenantServiceSettings(ServerSettings, AuthSettings, WarehouseSettings, KmsSettings):
    """Everything that TenantService can be told."""

    listen_address: str = "127.0.0.1:50051"
    """Address to listen on, `host:port`; port 0 takes a free one."""
    pipeline_service_address: str = "127.0.0.1:50052"
    """Address of PipelineService, `host:port`, for the dry run of a new tenant."""
    configs_dir: Path | None = None
    """Folder that replaces the templates and schemas that the package carries."""

    @model_validator(mode="after")
    def _pipeline_service_is_loopback_or_asked_for(self) -> "TenantServiceSettings":
        if not self.allow_plaintext and not is_loopback(self.pipeline_service_address):
            raise ValueError(
                "pipeline_service_address is not loopback: plaintext there must be asked for with allow_plaintext"
            )
        return self
