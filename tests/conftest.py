"""Fixtures that several folders use (the warehouses and the run engine), and how tests are dealt out to workers."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.temporal import temporal_address  # noqa: F401
from tests.warehouses import connect, local_server, place, stub, warehouse  # noqa: F401

WHOLE_STACKS = ("tests/e2e/", "tests/chaos/")
IMAGES = "tests/containers/test_images.py"


class OneStackAtATime(LoadScopeScheduling):  # type: ignore[misc]
    """Deals tests out one by one, but for those that start a whole stack: one worker has them all, so that stacks do not slow each other;
    and those of the images, which one worker builds once.

    By folder: the groups of pytest-xdist 3.8 rest on an attribute that nodes of pytest 9 no longer have.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(WHOLE_STACKS):
            return "stack"
        return IMAGES if nodeid.startswith(IMAGES) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneStackAtATime:
    """Take the place of xdist's schedulers, whatever `--dist` says."""
    return OneStackAtATime(config, log)
