"""What a service tells of itself over OTLP: traces and metrics. Off by default; then no SDK is imported and nothing is collected."""
