"""A tiny part for the supervisor's tests: listens on a port, or misbehaves as told. Run as a script."""

import signal
import socket
import sys
from pathlib import Path


def main() -> None:
    """``fake_part.py PORT JOURNAL NAME [deaf|mute|failing]``. Appends its name to the journal when it starts and when it ends."""
    port, journal, name, *moods = sys.argv[1:]

    def note(event: str) -> None:
        with Path(journal).open("a") as file:
            file.write(f"{event} {name}\n")

    def end(*_: object) -> None:
        note("ended")
        sys.exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in moods else end)
    note("started")
    print(f"{name} says hello")
    if "failing" in moods:
        sys.exit(3)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", int(port)))
        if "mute" not in moods:
            server.listen()
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
