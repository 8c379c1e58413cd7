"""What the processes are told."""

from pathlib import Path

from local_stack import environment
from local_stack.parts import SERVERS, stack_parts
from local_stack.state import State

PORTS = {name: 20_000 + i for i, name in enumerate(SERVERS)}


def test_caller_s_other_variables_reach_no_process(state: State) -> None:
    environ = {"PATH": "/bin", "AWS_SECRET": "x", "https_proxy": "http://x", "CONVERGENCE_LOG_LEVEL": "debug"}
    for part in stack_parts(state, PORTS, environ):
        assert part.environment["PATH"] == "/bin"
        assert part.environment["CONVERGENCE_LOG_LEVEL"] == "debug"
        assert not {"AWS_SECRET", "https_proxy"} & part.environment.keys()


def test_services_get_the_admin_key_s_hash_and_never_the_key(state: State) -> None:
    key = state.admin_key_file.read_text()
    for part in stack_parts(state, PORTS, {}):
        assert key not in "".join((*part.command, *part.environment.values()))
    variables = environment.service("tenant_service", {}, state, PORTS)
    assert variables["CONVERGENCE_ADMIN_KEY_HASHES"] == state.admin_key_hash()


def test_addresses_of_this_stack_win_over_the_caller_s(state: State) -> None:
    environ = {"CONVERGENCE_WAREHOUSE_ADDRESS": "elsewhere:1", "CONVERGENCE_REFLECTION": "false"}
    variables = environment.service("pipeline_service", environ, state, PORTS)
    assert variables["CONVERGENCE_WAREHOUSE_ADDRESS"] == f"127.0.0.1:{PORTS['warehouse']}"
    assert variables["CONVERGENCE_REFLECTION"] == "false"


def test_every_part_needs_only_parts_before_it(state: State) -> None:
    seen: set[str] = set()
    for part in stack_parts(state, PORTS, {}):
        assert set(part.after) <= seen
        seen.add(part.name)
    assert set(SERVERS) <= seen


def test_relative_folder_of_templates_is_the_caller_s(state: State) -> None:
    variables = environment.service("pipeline_service", {"CONVERGENCE_CONFIGS_DIR": "my/configs"}, state, PORTS)
    assert variables["CONVERGENCE_CONFIGS_DIR"] == str(Path.cwd() / "my/configs")
