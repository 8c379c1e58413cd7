"""The gateway before both services: an Envoy that speaks REST and gRPC to callers. Here is its configuration, and no code of its own."""
