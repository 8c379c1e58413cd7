"""The servers behind the gateway: where their replicas are, and which of them are healthy."""

from collections.abc import Sequence
from typing import Any

from common.endpoint import split_endpoint
from gateway.tls import ServicesTls, is_ip_address

HTTP2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster(server: str, service: str, replicas: Sequence[str], tls: ServicesTls | None = None) -> dict[str, Any]:
    """The cluster of one server, `replicas` as `host:port`. `service` is the name under which its health is asked for; without `tls` it is
    spoken to in plaintext.

    A name stands for all addresses that it resolves to. Raises ValueError for what is no `host:port`.
    """
    endpoints = [{"endpoint": {"address": address(replica)}} for replica in replicas]
    hosts = [endpoint["endpoint"]["address"]["socket_address"]["address"] for endpoint in endpoints]
    return {
        "name": server,
        **({"transport_socket": tls.transport_socket(hosts)} if tls else {}),
        "type": "STATIC" if all(map(is_ip_address, hosts)) else "STRICT_DNS",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {"cluster_name": server, "endpoints": [{"lb_endpoints": endpoints}]},
        "circuit_breakers": {
            "thresholds": [
                {"max_connections": 1024, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 512}
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": HTTP2,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        # A replica that ends says NOT_SERVING first. Where none is healthy any is asked all the same: its own answer tells more.
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": service},
            }
        ],
    }


def address(endpoint: str) -> dict[str, Any]:
    """Envoy's form of `host:port`. Raises ValueError for anything else."""
    try:
        host, port = split_endpoint(endpoint)
    except ValueError as error:
        raise ValueError(f"{endpoint!r} is no host:port") from error
    return {"socket_address": {"address": host, "port_value": port}}
