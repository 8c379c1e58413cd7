"""Makes `docs/openapi.yaml`, the description of the REST API, from the protos: `make openapi`."""
