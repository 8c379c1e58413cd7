"""What gRPC channels of ours have in common."""

DIRECT = ("grpc.enable_http_proxy", 0)
"""A channel without TLS, which may carry a key, goes where its settings say: through the proxy that the environment names, if any, it would
reach another host's loopback."""
