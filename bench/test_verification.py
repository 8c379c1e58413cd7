"""Warm verification within one process: run by `make bench`, which holds its median to the bound."""

import asyncio
import random
from itertools import cycle
from typing import Any

from bench.many_keys import SCOPE, ManyKeys, verifier_over, verify_all
from common.api_keys.verifier import KeyVerifier
from common.rpc.caller import Caller

TENANTS = 10_000


def verified(verifier: KeyVerifier, key: str) -> Caller:
    """Drive the coroutine by hand, since a warm verification waits for nothing: the time of an event loop is not counted."""
    try:
        verifier.authenticate(key, SCOPE).send(None)
    except StopIteration as done:
        caller: Caller = done.value
        return caller
    raise AssertionError("it waited for something")


def test_warm_verification(benchmark: Any) -> None:
    """Of keys of 10,000 tenants in no order, as calls come."""
    warehouse = ManyKeys(TENANTS)
    verifier = verifier_over(warehouse)
    asyncio.run(verify_all(verifier, warehouse))
    keys = list(warehouse.keys())
    random.Random(1).shuffle(keys)
    calls = cycle(keys)
    caller = benchmark(lambda: verified(verifier, next(calls)))
    assert caller.scopes
