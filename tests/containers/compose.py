"""docker-compose.yml as Compose reads it: variables filled in, profiles and dependencies followed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from tests.containers.dockerfile import ROOT

FILE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-+])([^}]*))?\}")


@dataclass(frozen=True)
class Compose:
    """The file with the variables of `environ` filled in, and what it calls `.env` as `env_file`."""

    environ: Mapping[str, str]
    env_file: Mapping[str, str]

    @cached_property
    def document(self) -> dict[str, Any]:
        """The whole file."""
        filled: dict[str, Any] = self._filled(yaml.safe_load(FILE.read_text()))
        return filled

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        """Every service, whatever its profile."""
        return dict(self.document["services"])

    def started(self, *targets: str) -> list[str]:
        """What `docker compose up TARGETS` starts, in the order in which it does: the targets and all that they depend on; without targets
        all that is in no profile."""
        chosen = targets or tuple(name for name, service in self.services.items() if "profiles" not in service)
        order: list[str] = []

        def visit(name: str) -> None:
            for needed in self.services[name].get("depends_on", ()):
                visit(needed)
            if name not in order:
                order.append(name)

        for name in chosen:
            visit(name)
        return order

    def environment(self, name: str) -> dict[str, str]:
        """What a service's process is told."""
        service = self.services[name]
        return {**(self.env_file if "env_file" in service else {}), **service.get("environment", {})}

    def _filled(self, part: Any) -> Any:
        if isinstance(part, dict):
            return {key: self._filled(value) for key, value in part.items()}
        if isinstance(part, list):
            return [self._filled(value) for value in part]

        def value(match: re.Match[str]) -> str:
            given = self.environ.get(match[1], "")
            if match[2] == ":+":
                return match[3] if given else ""
            return given or match[3] or ""

        return _VARIABLE.sub(value, part) if isinstance(part, str) else part


def replicas(service: Mapping[str, Any]) -> int:
    """How many containers of a service run."""
    return int(service.get("deploy", {}).get("replicas", 1))


def volumes(service: Mapping[str, Any]) -> Iterable[tuple[str, str, bool]]:
    """Name, folder and whether it may be written to, of each named volume of a service."""
    for text in service.get("volumes", ()):
        name, folder, *mode = text.split(":")
        yield name, folder, mode != ["ro"]


def target(service: Mapping[str, Any]) -> str:
    """The stage of the Dockerfile that a service's image is built from."""
    return str(service["build"]["target"])


LOCAL = Compose({}, {})
"""The file as it is read where nothing is set."""
