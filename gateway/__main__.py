"""`python -m gateway` prints the configuration with which Envoy is started as the gateway: `envoy -c FILE`."""

import argparse
import sys

import yaml

from gateway.config import gateway_config
from gateway.methods import SERVICES


def main() -> None:
    """Print YAML. Exit status 2 for arguments that make no sense."""
    parser = argparse.ArgumentParser(
        prog="convergence-gateway-config", description="Print the gateway's configuration."
    )
    parser.add_argument("--listen", metavar="HOST:PORT", required=True, help="where callers find the gateway")
    for server in SERVICES:
        text = f"a replica of {server}, or a name that resolves to all of them; once for each"
        parser.add_argument(
            f"--{server.replace('_', '-')}", metavar="HOST:PORT", required=True, action="append", help=text
        )
    arguments = vars(parser.parse_args())
    try:
        config = gateway_config(arguments["listen"], {server: arguments[server] for server in SERVICES})
    except ValueError as error:
        parser.error(str(error))
    yaml.safe_dump(config, sys.stdout, sort_keys=False, width=140)


if __name__ == "__main__":
    main()
