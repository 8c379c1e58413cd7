"""The Dockerfile, read: its stages, what each copies and runs, and the folder that stands for what is copied into a build."""

import re
import shlex
import shutil
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Stage:
    """One stage. `base` is the stage or image that it starts from; `copies` are (stage or None for the context, sources, destination)."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    @property
    def copies(self) -> list[tuple[str | None, list[str], str]]:
        found = []
        for word, rest in self.instructions:
            if word == "COPY":
                *flags, destination = shlex.split(rest)
                source = next((flag.removeprefix("--from=") for flag in flags if flag.startswith("--from=")), None)
                found.append((source, [flag for flag in flags if not flag.startswith("--")], destination))
        return found

    @property
    def runs(self) -> list[str]:
        """Each command of its RUN instructions."""
        return [command.strip() for word, rest in self.instructions if word == "RUN" for command in rest.split("&&")]

    def last(self, word: str) -> str | None:
        """What the last instruction of this kind says."""
        return next((rest for each, rest in reversed(self.instructions) if each == word), None)

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        pairs = (pair for word, rest in self.instructions if word == "ENV" for pair in shlex.split(rest))
        return dict(pair.split("=", 1) for pair in pairs)


@cache
def stages() -> dict[str, Stage]:
    """By name, in order."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text()))
    found: dict[str, Stage] = {}
    for line in filter(None, text.splitlines()):
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = Stage(name, base)
        elif found:
            list(found.values())[-1].instructions.append((word, rest))
    return found


def ancestry(name: str) -> list[Stage]:
    """A stage and those that it starts from, the first of all first."""
    known, line = stages(), []
    while name in known:
        line.append(known[name])
        name = known[name].base
    return line[::-1]


def environment_of(name: str) -> dict[str, str]:
    """What an image's processes find in their environment, besides what `docker run` adds."""
    merged: dict[str, str] = {}
    for stage in ancestry(name):
        merged |= stage.environment
    return merged


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the context. The last pattern that fits decides, for a folder as for all in it."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            parts = path.split("/")
            prefixes = ["/".join(parts[: number + 1]) for number in range(len(parts))]
            fits = any(
                fnmatch(prefix, pattern)
                or (pattern.startswith("**/") and fnmatch(prefix.rpartition("/")[2], pattern[3:]))
                for prefix in prefixes
            )
            if fits and (pattern != "*" or not line.startswith("!")):
                ignored = not line.startswith("!")
    return ignored


def copy_context(stage: Stage, folder: Path) -> None:
    """Copy what a stage takes from the context into `folder`, as the stage's working directory."""
    for source, names, destination in stage.copies:
        if source is not None:
            continue
        for name in names:
            target = folder / destination / (Path(name).name if destination.endswith("/") else "")
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=_ignored_below)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target)


def _ignored_below(folder: str, names: list[str]) -> list[str]:
    relative = Path(folder).relative_to(ROOT)
    return [name for name in names if is_ignored((relative / name).as_posix())]
