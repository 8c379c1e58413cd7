"""Settings of what a service tells of itself."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from common.settings import Endpoint, Settings, refuse_plaintext, require_both, require_tls


class TelemetrySettings(Settings):
    """Where traces and metrics go (OTLP over gRPC). Without TLS the receiver is on the loopback address, unless `allow_plaintext`."""

    otlp_endpoint: Endpoint | None = None
    """`host:port` of an OpenTelemetry collector, or of another receiver of OTLP over gRPC. Unset, nothing is collected."""
    otlp_tls: bool = Field(False, validate_default=True)
    """Whether the receiver is spoken to with TLS, against the system's certificate authorities unless `otlp_tls_ca_file` is set."""
    otlp_tls_ca_file: Path | None = None
    """Certificates, in PEM, of the authorities that sign for the receiver. Read once, at start-up."""
    otlp_tls_certificate_file: Path | None = None
    """Our own certificate, in PEM, for a receiver that asks for one (mTLS). Read once, at start-up."""
    otlp_tls_key_file: Path | None = Field(None, validate_default=True)
    """The private key of that certificate, in PEM; readable by its owner alone. Read once, at start-up."""
    trace_sample_ratio: float = Field(1.0, ge=0, le=1)
    """The share of traces that are kept, of those that begin here. One that a caller has begun is kept where the caller keeps it,
    once it is known who calls."""
    metric_interval_seconds: float = Field(60.0, ge=0.1, le=3600)
    """How often metrics are sent, in seconds."""

    @field_validator("otlp_tls")
    @classmethod
    def _otlp_tls_or_loopback(cls, tls: bool, info: ValidationInfo) -> bool:
        if not tls:
            refuse_plaintext("otlp_endpoint", info, instead="set this, or ")
        return tls

    @field_validator("otlp_tls_key_file")
    @classmethod
    def _otlp_pair(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        require_both(key_file, "otlp_tls_certificate_file", info)
        return key_file

    @field_validator("otlp_tls_ca_file", "otlp_tls_certificate_file")
    @classmethod
    def _needs_otlp_tls(cls, value: object, info: ValidationInfo) -> object:
        require_tls(value, "otlp_tls", info)
        return value
