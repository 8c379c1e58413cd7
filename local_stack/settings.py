"""Settings of the local stack: flags over environment variables (prefix CONVERGENCE_) over `.env`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port on 127.0.0.1; 0 takes a free one."""


class LocalStackSettings(BaseSettings):
    """Where the stack keeps its state and listens."""

    model_config = SettingsConfigDict(
        env_prefix="CONVERGENCE_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    state_dir: Path = Path(".local")
    """The folder for keys, logs, pid files and data; made where it is missing."""
    tenant_port: Port = 50051
    """Port of tenant_service."""
    pipeline_port: Port = 50052
    """Port of pipeline_service."""
    gateway_port: Port = 8080
    """Port of the gateway: REST and gRPC, of both services."""
    warehouse_port: Port = 0
    """Port of the warehouse server, which only the services call."""
    kms_port: Port = 0
    """Port of the KMS emulator, which only the services call."""
    temporal_port: Port = 0
    """Port of the Temporal dev server, which only pipeline_service calls."""
    start_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    """How long a part may take to become ready before the stack gives up."""
