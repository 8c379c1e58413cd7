"""Settings of TenantService, read once at start-up from the environment and `.env`."""

from pathlib import Path

from common.encryption.settings import KmsSettings
from common.rpc.settings import AuthSettings, ServerSettings
from common.settings import PlaintextEndpoint
from common.warehouse.settings import WarehouseSettings


class TenantServiceSettings(ServerSettings, AuthSettings, WarehouseSettings, KmsSettings):
    """Everything that TenantService can be told."""

    listen_address: PlaintextEndpoint = "127.0.0.1:50051"
    """Address to listen on, `host:port`; port 0 takes a free one."""
    pipeline_service_address: PlaintextEndpoint = "127.0.0.1:50052"
    """Address of PipelineService, `host:port`, for the dry run of a new tenant."""
    configs_dir: Path | None = None
    """Folder that replaces the templates and schemas that the package carries."""
