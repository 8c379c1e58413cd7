"""Where the local servers listen and are called: on the loopback address, unless somebody asks for more in so many words."""

import argparse

from common.settings import is_loopback
from local_stack.ports import HOST


def add_host(parser: argparse.ArgumentParser, what: str) -> None:
    """Let a command be told `--host`, and `--allow-plaintext`, without which that must be a loopback address."""
    parser.add_argument("--host", default=HOST, help=f"{what}; default: {HOST}")
    parser.add_argument(
        "--allow-plaintext",
        action="store_true",
        help="let tokens and data travel without TLS beyond the loopback address",
    )


def checked_host(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> str:
    """The host that was asked for. Ends the process with status 2 where plaintext to it is refused."""
    host: str = arguments.host
    if not (arguments.allow_plaintext or is_loopback(f"{host}:0")):
        parser.error(f"--host {host} is beyond the loopback address, where plaintext is refused: --allow-plaintext")
    return host
