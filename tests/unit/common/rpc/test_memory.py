"""Each in a process of its own: what is set is set for good."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ARENAS_OF_16_THREADS = """
import ctypes, sys, threading
from common.rpc.memory import limit_malloc_arenas
if sys.argv[1] == "shared":
    limit_malloc_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.fopen.restype = ctypes.c_void_p, ctypes.c_void_p
everybody = threading.Barrier(16)
def allocate():
    everybody.wait()
    libc.malloc(1000)
    everybody.wait()
threads = [threading.Thread(target=allocate) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""
FROZEN = """
import gc
from common.rpc.memory import freeze_imports
kept = [[] for _ in range(1000)]
freeze_imports()
assert gc.get_freeze_count() > 1000, gc.get_freeze_count()
cycle = []
cycle.append(cycle)
del cycle
assert gc.collect() == 1
"""
LOADED = """
import sys, pipeline_service.bootstrap
assert not [name for name in sys.modules if name.startswith(("google.cloud", "cryptography"))]
"""


def run(script: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas and malloc_info to count them")
def test_threads_share_two_arenas(tmp_path: Path) -> None:
    counted = {}
    for name in ("alone", "shared"):
        run(ARENAS_OF_16_THREADS, name, str(tmp_path / name))
        counted[name] = (tmp_path / name).read_text().count("<heap nr=")
    assert counted["shared"] <= 2 < counted["alone"]


def test_what_was_there_is_collected_no_more_and_what_is_new_is() -> None:
    run(FROZEN)


def test_a_pipeline_service_loads_no_client_of_kms_and_no_cryptography_before_it_needs_them() -> None:
    run(LOADED)
