"""Runs the services of docker-compose.yml as plain processes.

Each container has an address of its own under 127.0.0.0/8, so ports stay as they are; only Temporal, whose parts look for each other at
127.0.0.1 whatever it listens on, is there, at a free port. Folders of volumes and /tmp lie in a folder of the test.
"""

import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from local_stack.ports import assign
from tests.containers.compose import Compose, replicas, target, volumes
from tests.containers.images import Image
from tests.waiting import eventually

HEALTHY_SECONDS = 90.0
CHECK_SECONDS = 20.0
STOP_SECONDS = 40.0
ENGINE_PORT = 7233
"""Of Temporal, in its container."""


@dataclass
class Container:
    """One replica of a service."""

    service: str
    address: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text()


class Containers:
    """What one `docker compose up` runs."""

    def __init__(self, compose: Compose, images: Mapping[str, Image], folder: Path) -> None:
        self._compose = compose
        self._images = images
        self._folder = folder
        self._network = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}"
        self._addresses: dict[str, list[str]] = {}
        self._engine_port = assign({"temporal": 0})["temporal"]
        self.running: list[Container] = []

    def up(self, *targets: str) -> None:
        """Start what Compose would, in its order, and wait as it does for what others depend on. Then all are healthy."""
        order = self._compose.started(*targets)
        number = iter(range(2, 250))
        for name in order:
            copies = range(replicas(self._compose.services[name]))
            engine = self._compose.services[name]["command"][0] == "temporal"
            self._addresses[name] = ["127.0.0.1" if engine else f"{self._network}.{next(number)}" for _ in copies]
        for name in order:
            for needed, how in self._compose.services[name].get("depends_on", {}).items():
                self._await(needed, how["condition"])
            self.running += [self._start(name, address) for address in self._addresses[name]]
        for name in order:
            if "healthcheck" in self._compose.services[name]:
                self._await(name, "service_healthy")

    def of(self, service: str) -> list[Container]:
        """The replicas of a service."""
        return [container for container in self.running if container.service == service]

    def stop(self) -> dict[str, set[int]]:
        """SIGTERM to all, the last first, as Compose does it: the exit statuses by service."""
        statuses: dict[str, set[int]] = {}
        for container in reversed(self.running):
            if container.process.poll() is None:
                container.process.send_signal(signal.SIGTERM)
            statuses.setdefault(container.service, set()).add(container.process.wait(STOP_SECONDS))
        return statuses

    def kill(self) -> None:
        """End what still runs."""
        for container in self.running:
            container.process.kill()
            container.process.wait()

    def volume(self, name: str) -> Path:
        """The folder of a volume."""
        return self._folder / "volumes" / name

    def _start(self, name: str, address: str) -> Container:
        log = self._folder / f"{name}-{address}.log"
        with log.open("wb") as output:
            command = self._words(name, address, self._compose.services[name]["command"])
            process = subprocess.Popen(
                command, **self._surroundings(name, address), stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        return Container(name, address, process, log)

    def _await(self, name: str, condition: str) -> None:
        for container in self.of(name):
            ended = container.process
            if condition == "service_completed_successfully":
                assert ended.wait(HEALTHY_SECONDS) == 0, container.said
            else:
                eventually(partial(self._is_settled, container), HEALTHY_SECONDS, name)
                assert ended.poll() is None, container.said

    def _is_settled(self, container: Container) -> bool:
        return self._is_healthy(container) or container.process.poll() is not None

    def _is_healthy(self, container: Container) -> bool:
        kind, *test = self._compose.services[container.service]["healthcheck"]["test"]
        assert kind == "CMD"
        command = self._words(container.service, container.address, test)
        surroundings = self._surroundings(container.service, container.address)
        return (
            subprocess.run(command, **surroundings, capture_output=True, timeout=CHECK_SECONDS, check=False).returncode
            == 0
        )

    def _surroundings(self, name: str, address: str) -> dict[str, Any]:
        image = self._images[target(self._compose.services[name])]
        temporary, cwd = (self._folder / f"{name}-{address}-{kind}" for kind in ("tmp", "cwd"))
        for folder in (
            temporary,
            cwd,
            *(self.volume(volume) for volume, _, _ in volumes(self._compose.services[name])),
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = self._compose.environment(name)  # what comes from `.env` is the test's own, in our terms
        named = self._compose.services[name].get("environment", {})
        told |= {key: self._text(name, address, value) for key, value in named.items()}
        return {"env": {**image.environment(temporary), **told}, "cwd": cwd}

    def _words(self, name: str, address: str, words: list[str]) -> list[str]:
        """A command in its container's terms, in ours. A replica that is named is named once for each."""
        program = shutil.which(words[0], path=str(self._images[target(self._compose.services[name])].scripts))
        assert program, f"the image of {name} has no {words[0]}"
        told = [program]
        for word in words[1:]:
            match = re.fullmatch(r"(--[a-z-]+=)([a-z-]+)(:\d+)", word)
            if match and match[2] in self._addresses:
                told += [f"{match[1]}{replica}{match[3]}" for replica in self._addresses[match[2]]]
            else:
                told.append(self._text(name, address, word))
        return told

    def _text(self, name: str, address: str, text: str) -> str:
        """A word with the folders, addresses and names of the container's world replaced by ours."""
        ours = {folder: str(self.volume(volume)) for volume, folder, _ in volumes(self._compose.services[name])}
        ours |= {"/tmp": f"{self._folder}/{name}-{address}-tmp", "0.0.0.0": address, "127.0.0.1": address}
        ours |= {host: first for host, (first, *_) in self._addresses.items()}
        known = "|".join(sorted(map(re.escape, ours), key=len, reverse=True))
        if match := re.fullmatch(rf"(|[^=]*=)({known})(|[/:].*)", text):
            text = f"{match[1]}{ours[match[2]]}{match[3]}"
        return re.sub(rf"(127\.0\.0\.1:|--port=){ENGINE_PORT}", rf"\g<1>{self._engine_port}", text)


@contextmanager
def containers(compose: Compose, images: Mapping[str, Image], folder: Path) -> Iterator[Containers]:
    """Whatever is started is gone at the end."""
    started = Containers(compose, images, folder)
    try:
        yield started
    finally:
        started.kill()
