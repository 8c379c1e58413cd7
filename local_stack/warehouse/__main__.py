"""python -m local_stack.warehouse: serve one DuckDB file until SIGTERM or SIGINT, which end it with status 0."""

import argparse
import os
import signal
import sys
from pathlib import Path

from common import logs
from common.clock import SystemClock
from common.secret import read_secret_file
from local_stack.hosts import add_host, checked_host
from local_stack.warehouse.engine import Engine
from local_stack.warehouse.server import WarehouseServer

STOPPING = {signal.SIGTERM, signal.SIGINT}


def main() -> int:
    """Run the server. The first line on stdout is `listening on HOST:PORT`."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.warehouse", description="Local warehouse server")
    parser.add_argument("--data-dir", type=Path, required=True, help="where the DuckDB file lies; made mode 0700")
    add_host(parser, "address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--token-file", type=Path, required=True, help="mode 0600; callers send its content")
    parser.add_argument("--project", default="local", help="the project that three-part table names must name")
    parser.add_argument(
        "--load-dir", type=Path, action="append", default=[], help="a folder that files may be loaded from; any number"
    )
    arguments = parser.parse_args()
    host = checked_host(parser, arguments)
    logs.configure(output="console")
    os.umask(0o077)
    # Blocked in every thread and waited for in this one: a handler may run late or never while DuckDB runs a statement.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        token = read_secret_file(arguments.token_file)
        load_dirs = [folder.absolute() for folder in arguments.load_dir]
        engine = Engine(arguments.data_dir, SystemClock(), project=arguments.project, load_dirs=load_dirs)
    except (OSError, ValueError) as error:
        return _failed(error)
    try:
        server = WarehouseServer(engine, token, host=host, port=arguments.port)
    except OSError as error:
        engine.close()
        return _failed(error)
    print(f"listening on {host}:{server.port}", flush=True)
    signal.sigwait(STOPPING)
    engine.jobs.close()  # first, so that nobody waits for a job while the server drains
    server.shutdown()
    engine.close()
    return 0


def _failed(error: Exception) -> int:
    print(f"warehouse: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Everything is closed. At the interpreter's own end DuckDB's binding would list what it leaves to the end of the process.
    os._exit(status)
