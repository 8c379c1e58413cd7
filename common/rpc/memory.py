"""What keeps a service from seeming to grow while it holds nothing: once before it has threads, once when it serves."""

import ctypes
import gc
from contextlib import suppress

ARENAS = 2
GIVEN_BACK_BYTES = 128 * 1024
_ARENA_MAX, _TRIM_THRESHOLD, _MMAP_THRESHOLD = -8, -1, -3  # of glibc's malloc.h


def limit_malloc_arenas() -> None:
    """Let the threads of this process share ARENAS arenas of the C library from now on, which returns what is free at their ends.

    glibc gives every thread one of its own, up to eight for each core, and what is freed in one is of no use to the others: work that
    wanders through 60 threads leaves tens of MB behind. It also keeps ever more free memory, the larger the pieces that are freed. Call
    it before there are threads; another C library goes on as it does.
    """
    with suppress(AttributeError, OSError, TypeError):  # no mallopt, or no C library that can be asked
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in (
            (_ARENA_MAX, ARENAS),
            (_TRIM_THRESHOLD, GIVEN_BACK_BYTES),
            (_MMAP_THRESHOLD, GIVEN_BACK_BYTES),
        ):
            mallopt(parameter, value)


def freeze_imports() -> None:
    """Keep what is there now, which is what the imports made, out of garbage collection for good.

    A full collection follows once a quarter of what has survived the last one has come anew. With all modules in that sum, the cycles of
    hundreds of ended runs would lie about before the first, and each collection would walk through every module.
    """
    gc.collect()
    gc.freeze()
