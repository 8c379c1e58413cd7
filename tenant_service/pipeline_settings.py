"""How TenantService reaches PipelineService."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from common.settings import Endpoint, Settings, refuse_plaintext, require_both, require_tls


class PipelineClientSettings(Settings):
    """Where PipelineService is. Without TLS it is on the loopback address, unless `allow_plaintext`."""

    pipeline_service_address: Endpoint = "127.0.0.1:50052"
    """Address of PipelineService, `host:port`, for the dry run of a new tenant and for ending the runs of one that is deleted."""
    pipeline_service_tls: bool = Field(False, validate_default=True)
    """Whether PipelineService is spoken to with TLS, against the system's certificate authorities unless `pipeline_service_tls_ca_file` is
    set. Renewed files are picked up by the next call."""
    pipeline_service_tls_ca_file: Path | None = None
    """Certificates, in PEM, of the authorities that sign for PipelineService."""
    pipeline_service_tls_server_name: str | None = None
    """The name that PipelineService's certificate must have, where it is not the host of its address."""
    pipeline_service_tls_certificate_file: Path | None = None
    """Our own certificate, in PEM, where PipelineService asks for one (mTLS)."""
    pipeline_service_tls_key_file: Path | None = Field(None, validate_default=True)
    """The private key of that certificate, in PEM; readable by its owner alone."""

    @field_validator("pipeline_service_tls")
    @classmethod
    def _pipeline_service_tls_or_loopback(cls, tls: bool, info: ValidationInfo) -> bool:
        if not tls:
            refuse_plaintext("pipeline_service_address", info, instead="set this, or ")
        return tls

    @field_validator("pipeline_service_tls_key_file")
    @classmethod
    def _pipeline_service_pair(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        require_both(key_file, "pipeline_service_tls_certificate_file", info)
        return key_file

    @field_validator(
        "pipeline_service_tls_ca_file", "pipeline_service_tls_server_name", "pipeline_service_tls_certificate_file"
    )
    @classmethod
    def _pipeline_service_needs_tls(cls, value: object, info: ValidationInfo) -> object:
        require_tls(value, "pipeline_service_tls", info)
        return value
