"""What each process of the stack is told: the one place that knows the settings' names of both services.

A process gets a few variables of ours, the caller's CONVERGENCE_* (so that any setting can be overridden) and nothing else; no `.env`
either, since that may name a production project.
"""

from collections.abc import Mapping
from pathlib import Path

from local_stack.ports import HOST
from local_stack.state import State

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV")
PREFIX = "CONVERGENCE_"
CONFIGS_DIR = f"{PREFIX}CONFIGS_DIR"
PROJECT = "local"
KMS_KEY_NAME = f"projects/{PROJECT}/locations/global/keyRings/convergence/cryptoKeys/secrets"


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What every process gets of the caller's environment. PYTHONUNBUFFERED brings its output into the log at once."""
    kept = {name: value for name, value in environ.items() if name in INHERITED or name.startswith(PREFIX)}
    if CONFIGS_DIR in kept:
        kept[CONFIGS_DIR] = str(Path(kept[CONFIGS_DIR]).absolute())  # the parts run in the state folder
    return {**kept, "PYTHONUNBUFFERED": "1"}


def service(name: str, environ: Mapping[str, str], state: State, ports: Mapping[str, int]) -> dict[str, str]:
    """The environment of `tenant_service` or `pipeline_service`: its parts' addresses, their tokens and the admin key's hash."""
    address = {part: f"{HOST}:{port}" for part, port in ports.items()}
    return {
        "CONVERGENCE_REFLECTION": "true",
        "CONVERGENCE_LOG_FORMAT": "console",
        **inherited(environ),
        "CONVERGENCE_LISTEN_ADDRESS": address[name],
        "CONVERGENCE_WAREHOUSE": "local",
        "CONVERGENCE_WAREHOUSE_ADDRESS": address["warehouse"],
        "CONVERGENCE_WAREHOUSE_TOKEN_FILE": str(state.token_file("warehouse")),
        "CONVERGENCE_PROJECT": PROJECT,
        "CONVERGENCE_LOAD_LOCATIONS": f"inbox={state.load('tenants')}",
        "CONVERGENCE_SHARED_LOAD_LOCATIONS": f"samples={state.load('shared')}",
        "CONVERGENCE_TEMPORAL_ADDRESS": address["temporal"],
        "CONVERGENCE_TEMPORAL_NAMESPACE": "default",
        "CONVERGENCE_KMS_ENDPOINT": address["kms"],
        "CONVERGENCE_KMS_TOKEN_FILE": str(state.token_file("kms")),
        "CONVERGENCE_PIPELINE_SERVICE_ADDRESS": address["pipeline_service"],
        "CONVERGENCE_ADMIN_KEY_HASHES": state.admin_key_hash(),
        "GCP_KMS_KEY_NAME": KMS_KEY_NAME,
    }
