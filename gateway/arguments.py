"""How commands are told where the gateway listens and what is behind it."""

import argparse
from typing import Any

from gateway.config import gateway_config
from gateway.methods import SERVICES


def add_addresses(parser: argparse.ArgumentParser) -> None:
    """Let a command be told where callers find the gateway, and where it finds the replicas."""
    parser.add_argument("--listen", metavar="HOST:PORT", required=True, help="where callers find the gateway")
    for server in SERVICES:
        text = f"a replica of {server}, or a name that resolves to all of them; once for each"
        parser.add_argument(
            f"--{server.replace('_', '-')}", metavar="HOST:PORT", required=True, action="append", help=text
        )


def configured(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict[str, Any]:
    """The gateway's configuration for those. Ends the process with status 2 for an address that is none."""
    given = vars(arguments)
    try:
        return gateway_config(given["listen"], {server: given[server] for server in SERVICES})
    except ValueError as error:
        parser.error(str(error))
