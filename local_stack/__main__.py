"""`python -m local_stack up` runs the local stack in the foreground; `python -m local_stack demo` shows the main job, start to end."""

import argparse
import os
import sys

from pydantic import ValidationError

from local_stack.errors import StackError
from local_stack.settings import LocalStackSettings
from local_stack.up import up


def main() -> None:
    """Exit status 0 where all went as asked; 1 with one line of explanation otherwise; 2 for arguments that make no sense."""
    arguments = _parser().parse_args()
    if arguments.command == "demo":
        from local_stack.demo import demo  # noqa: PLC0415  `up` needs neither rich nor the stubs

        sys.exit(demo(os.environ))
    given = {name: value for name, value in vars(arguments).items() if name != "command" and value is not None}
    try:
        up(LocalStackSettings(**given), os.environ)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        sys.exit(f"local_stack: bad settings: {problems}")
    except StackError as error:
        sys.exit(f"local_stack: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_stack", description="The whole of Convergence on one machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="start a throw-away stack, do the main job, show it, stop")
    run = commands.add_parser("up", help="run the stack in the foreground until Ctrl-C")
    for name, field in LocalStackSettings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        run.add_argument(flag, help=f"{field.description} Default: {field.default}, or CONVERGENCE_{name.upper()}.")
    return parser


if __name__ == "__main__":
    main()
