"""`python -m bench.key_memory`: what the keys of 10,000 tenants take in memory, measured on a fresh process. Prints MB of RSS."""

import asyncio
import gc

import psutil

from bench.many_keys import ManyKeys, verifier_over, verify_all

TENANTS = 10_000


async def grown_megabytes() -> float:
    """How far the process grows from the first key to the last."""
    first = ManyKeys(1)
    await verify_all(verifier_over(first), first)
    warehouse = ManyKeys(TENANTS)
    verifier = verifier_over(warehouse)
    before = _resident_bytes()
    await verify_all(verifier, warehouse)
    return (_resident_bytes() - before) / 1e6


def _resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    print(asyncio.run(grown_megabytes()))
