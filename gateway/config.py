"""The gateway's whole configuration: `envoy.yaml` beside this file, with what it leaves open filled in."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gateway.clusters import address, cluster
from gateway.descriptors import descriptor_set
from gateway.local_replies import mappers
from gateway.methods import SERVICES, methods
from gateway.routes import routes
from gateway.shapes import shapes
from gateway.tls import CallersTls, ServicesTls

FOLDER = Path(__file__).parent


def gateway_config(
    listen_address: str,
    replicas: Mapping[str, Sequence[str]],
    *,
    callers_tls: CallersTls | None = None,
    services_tls: ServicesTls | None = None,
) -> dict[str, Any]:
    """What Envoy is started with. `listen_address` is `host:port`; `replicas` has those of each of SERVICES, `host:port` too. Without TLS
    plaintext is spoken, on either side.

    Raises ValueError for an address that is none.
    """
    config: dict[str, Any] = yaml.safe_load((FOLDER / "envoy.yaml").read_text())
    resources = config["static_resources"]
    (listener,) = resources["listeners"]
    connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
    filters = {each["name"].rpartition(".")[2]: each["typed_config"] for each in connections["http_filters"]}
    served = methods()

    listener["address"] = address(listen_address)
    if callers_tls:
        listener["filter_chains"][0]["transport_socket"] = callers_tls.transport_socket()
    filters["health_check"]["cluster_min_healthy_percentages"] = {server: {"value": 1.0} for server in SERVICES}
    filters["lua"]["default_source_code"]["inline_string"] = shapes(served) + (FOLDER / "requests.lua").read_text()
    filters["grpc_json_transcoder"]["proto_descriptor_bin"] = base64.b64encode(descriptor_set()).decode()
    filters["grpc_json_transcoder"]["services"] = [service.full_name for service in SERVICES.values()]
    connections["local_reply_config"]["mappers"] = mappers()
    connections["route_config"]["virtual_hosts"][0]["routes"] = routes(served)
    resources["clusters"] = [
        cluster(server, service.full_name, replicas[server], services_tls) for server, service in SERVICES.items()
    ]
    return config
