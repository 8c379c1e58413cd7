"""python -m local_stack.kms: run the KMS emulator until SIGTERM or SIGINT, which end it with status 0."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from common.clock import SystemClock
from common.secret import read_secret_file
from local_stack.hosts import add_host, checked_host
from local_stack.kms.keys import Keys, KmsError
from local_stack.kms.server import start
from local_stack.kms.state import StateFile, StateFileError


def main() -> int:
    """Run the emulator. The first line on stdout is `listening on HOST:PORT`."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.kms", description="Cloud KMS emulator")
    parser.add_argument("--data-dir", type=Path, required=True, help="where the keys lie; made mode 0700")
    add_host(parser, "address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--token-file", type=Path, required=True, help="mode 0600; callers send its content")
    parser.add_argument("--key", help="resource name of a CryptoKey to create where it is missing")
    arguments = parser.parse_args()
    host = checked_host(parser, arguments)
    try:
        return asyncio.run(_serve(arguments.data_dir, host, arguments.port, arguments.token_file, arguments.key))
    except (OSError, RuntimeError, ValueError, StateFileError, KmsError) as error:
        print(f"kms emulator: {error}", file=sys.stderr)
        return 1


async def _serve(data_dir: Path, host: str, port: int, token_file: Path, key: str | None) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    token = read_secret_file(token_file)
    keys = Keys(StateFile(data_dir), SystemClock())
    if key is not None:
        keys.ensure_key(key)
    server, bound = await start(keys, token, host=host, port=port)
    print(f"listening on {host}:{bound}", flush=True)
    await stopped.wait()
    await server.stop(grace=1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
