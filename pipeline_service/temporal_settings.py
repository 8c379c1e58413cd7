"""How PipelineService reaches Temporal, and how much of its work a process takes."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from common.settings import Endpoint, Settings, refuse_plaintext, require_both, require_tls


class TemporalSettings(Settings):
    """A Temporal cluster, its namespace and task queue. Without TLS it is on the loopback address, unless `allow_plaintext`."""

    temporal_address: Endpoint = "127.0.0.1:7233"
    """Address of Temporal's frontend, `host:port`."""
    temporal_namespace: str = Field("default", min_length=1)
    """The Temporal namespace of our workflows."""
    temporal_retention_days: int | None = Field(None, ge=1, le=365)
    """Create the namespace, where there is none, so that it keeps ended runs for so many days; GetRun reads older ones from
    `pipeline_runs`. Unset for a namespace that is somebody else's to create."""
    temporal_task_queue: str = Field("pipeline", min_length=1)
    """The task queue that connects runs with workers: every process of one installation names the same."""
    temporal_tls: bool = Field(False, validate_default=True)
    """Whether Temporal is spoken to with TLS, against the system's certificate authorities unless `temporal_tls_ca_file` is set."""
    temporal_tls_ca_file: Path | None = None
    """Certificates, in PEM, of the authorities that sign for Temporal's frontend."""
    temporal_tls_server_name: str | None = None
    """The name that the frontend's certificate must have, where it is not the host of its address."""
    temporal_tls_certificate_file: Path | None = None
    """Our own certificate, in PEM, for a cluster that asks for one (mTLS)."""
    temporal_tls_key_file: Path | None = Field(None, validate_default=True)
    """The private key of that certificate, in PEM; readable by its owner alone."""
    temporal_api_key_file: Path | None = None
    """File, readable by its owner alone, with the API key that the cluster asks for."""
    temporal_cached_runs: int = Field(1000, ge=0, le=100_000)
    """Runs whose state this process keeps in memory between their steps; others are replayed from their history when they go on."""
    max_concurrent_steps: int = Field(100, ge=1, le=10_000)
    """Steps that this process executes at once; others wait in the engine."""

    @field_validator("temporal_tls_key_file")
    @classmethod
    def _goes_with_the_certificate(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        require_both(key_file, "temporal_tls_certificate_file", info)
        return key_file

    @field_validator("temporal_tls")
    @classmethod
    def _plaintext_stays_here(cls, tls: bool, info: ValidationInfo) -> bool:
        if not tls:
            refuse_plaintext("temporal_address", info, instead="set this, or ")
        return tls

    @field_validator(
        "temporal_tls_ca_file", "temporal_tls_server_name", "temporal_tls_certificate_file", "temporal_api_key_file"
    )
    @classmethod
    def _needs_tls(cls, value: object, info: ValidationInfo) -> object:
        require_tls(value, "temporal_tls", info)
        return value
