"""Processes that are forked from one that has imported everything, which takes a tenth of the time that a new interpreter needs."""

import multiprocessing
import os
from pathlib import Path

PRELOADED = ("tests.chaos.replica", "tests.rpc.crashing_tenant_service")
"""What runs in such processes. One list, since a test process has one process that forks, which lives as long."""

forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(list(PRELOADED))


def write_to(log: Path) -> None:
    """Send all that this process prints to the end of a file."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(output, standard)
