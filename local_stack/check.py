"""`python -m local_stack.check`: whether a part of the stack that has no gRPC health serves, for the health check of its container."""

import argparse
import asyncio
import sys

from common.endpoint import split_endpoint
from local_stack.readiness import answers, listens


def main() -> None:
    """Exit status 0 where it does, 1 where it does not within a second."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.check", description="Ask whether a server serves")
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("listens", help="it takes TCP connections").add_argument("address", metavar="HOST:PORT")
    answering = kinds.add_parser("answers", help="it answers GET PATH with 200, over HTTP/1.1")
    answering.add_argument("address", metavar="HOST:PORT")
    answering.add_argument("path", metavar="PATH")
    arguments = parser.parse_args()
    try:
        host, port = split_endpoint(arguments.address)
    except ValueError:
        parser.error(f"{arguments.address} is no HOST:PORT")
    probe = listens(port, host) if arguments.kind == "listens" else answers(port, arguments.path, host)

    async def ask() -> bool:
        return await probe()

    if not asyncio.run(ask()):
        sys.exit(f"{arguments.address} does not serve")


if __name__ == "__main__":
    main()
