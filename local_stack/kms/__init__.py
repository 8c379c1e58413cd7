"""KMS emulator: Cloud KMS's gRPC API over keys in a local file."""
