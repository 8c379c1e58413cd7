"""`python -m gateway` prints the configuration with which Envoy is started as the gateway: `envoy -c FILE`."""

import argparse
import sys

import yaml

from gateway.arguments import add_addresses, configured


def main() -> None:
    """Print YAML. Exit status 2 for arguments that make no sense."""
    parser = argparse.ArgumentParser(
        prog="convergence-gateway-config", description="Print the gateway's configuration."
    )
    add_addresses(parser)
    yaml.safe_dump(configured(parser, parser.parse_args()), sys.stdout, sort_keys=False, width=140)


if __name__ == "__main__":
    main()
