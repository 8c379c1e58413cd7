"""One gateway before fake services, for all tests of a process."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.fakes import FakeServices
from tests.gateway.rest import Rest, running_gateway


@dataclass(frozen=True)
class World:
    """A gateway, and what is behind it."""

    rest: Rest
    services: FakeServices
    folder: Path


@pytest.fixture(scope="session")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    services, folder = FakeServices(), tmp_path_factory.mktemp("gateway")
    services.start()
    try:
        with running_gateway(folder, services.replicas) as rest:
            yield World(rest, services, folder)
    finally:
        services.stop()


@pytest.fixture
def world(_world: World) -> World:
    """With nothing noted and nothing said yet."""
    _world.services.calls.clear()
    _world.services.answers.clear()
    return _world


@pytest.fixture
def rest(world: World) -> Rest:
    """The gateway's caller."""
    return world.rest


@pytest.fixture
def services(world: World) -> FakeServices:
    """What is behind it."""
    return world.services
