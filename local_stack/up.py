"""Runs the stack in the foreground until a signal ends it."""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence

from local_stack import pid_files, ports
from local_stack.console import Console
from local_stack.lock import supervisor_lock
from local_stack.part import Part
from local_stack.parts import ADDRESSED, SERVERS, stack_parts
from local_stack.settings import LocalStackSettings
from local_stack.state import State
from local_stack.supervisor import Supervisor

ENDING = (signal.SIGINT, signal.SIGTERM)


def up(settings: LocalStackSettings, environ: Mapping[str, str]) -> None:
    """Run the stack; returns once SIGINT, SIGTERM or SIGHUP ended it. Raises StackError where it cannot start."""
    for number in ENDING:  # until the event loop takes over: nothing runs yet
        signal.signal(number, lambda *_: sys.exit(0))
    state = State(settings.state_dir.resolve())
    console = Console(sys.stdout.fileno(), color=sys.stdout.isatty())
    try:
        state.prepare()
        with supervisor_lock(state, console.say):
            pid_files.sweep(state, console.say)
            assigned = ports.assign({name: getattr(settings, _port_setting(name)) for name in SERVERS})
            parts = stack_parts(state, assigned, environ)
            addresses = " ".join(f"{name}={ports.HOST}:{assigned[name]}" for name in ADDRESSED)
            asyncio.run(supervise(parts, state, console, f"ready {addresses}", settings.start_timeout_seconds))
    finally:
        for number in ENDING:  # a signal too many must not change how it ends
            signal.signal(number, signal.SIG_IGN)
        console.close()


async def supervise(
    parts: Sequence[Part], state: State, console: Console, ready_line: str, start_timeout_seconds: float
) -> None:
    """Run `parts` until a signal comes: the first ends them in order, a second at once."""
    supervisor = Supervisor(parts, state, console, start_timeout_seconds=start_timeout_seconds)
    loop = asyncio.get_running_loop()
    # Set here also where the parent ignored them (`trap '' INT`), except SIGHUP: that is what nohup asks for.
    for number in ENDING:
        loop.add_signal_handler(number, supervisor.request_stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, supervisor.request_stop)
    await supervisor.run(lambda: console.announce(ready_line))


def _port_setting(name: str) -> str:
    return f"{name.removesuffix('_service')}_port"
