"""What the images hold, made by the steps of the Dockerfile: pinned distributions are linked from this environment instead of fetched."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.containers.dockerfile import ROOT, Stage, ancestry, copy_context, environment_of, stages

ENVIRONMENT = "opt/convergence"


@dataclass(frozen=True)
class Image:
    """An image whose `/` is `root`. Nothing in it may change."""

    name: str
    root: Path

    @property
    def scripts(self) -> Path:
        """Its commands."""
        return self.root / ENVIRONMENT / "bin"

    @property
    def packages(self) -> Path:
        """What its Python can import."""
        (found,) = (self.root / ENVIRONMENT / "lib").glob("python*/site-packages")
        return found

    def environment(self, folder: Path) -> dict[str, str]:
        """What a container's process finds there, with `folder` for /tmp."""
        told = environment_of(self.name)
        path = told["PATH"].replace("/opt/convergence/bin", str(self.scripts)).replace("$PATH", "/usr/bin:/bin")
        return {**told, "PATH": path, "HOME": str(folder), "TMPDIR": str(folder)}

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file of it, with its size and when it was changed."""
        return {
            path.relative_to(self.root).as_posix(): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in self.root.rglob("*")
            if not path.is_dir()
        }


def build(folder: Path, names: tuple[str, ...]) -> Mapping[str, Image]:
    """Make images, by name. Their stages for building are shared, as an engine would share them."""
    wheels = folder / "wheels"
    _build_wheels(stages()["wheels"], folder / "source", wheels)
    images = {}
    for name in names:
        image = Image(name, folder / name)
        (copied,) = (copied for stage in ancestry(name) for copied in stage.copies)
        for stage in ancestry(copied[0] or ""):
            for command in stage.runs:
                _run(command, image, wheels)
        images[name] = image
    return images


def _build_wheels(stage: Stage, source: Path, wheels: Path) -> None:
    copy_context(stage, source)
    (command,) = (command for command in stage.runs if " wheel " in command)
    _execute(command.replace("/wheels", str(wheels)), source)


def _run(command: str, image: Image, wheels: Path) -> None:
    if match := re.search(r"--require-hashes --requirement (\S+)", command):
        _link(ROOT / match[1], image)
    else:
        rooted = command.replace("/opt/convergence", str(image.root / ENVIRONMENT))
        _execute(rooted.replace("/wheels", str(wheels)), image.root.parent)


def _execute(command: str, cwd: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "python"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONVERGENCE_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**kept, **stages()["building"].environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _link(lock: Path, image: Image) -> None:
    for line in re.findall(r"^(\S.*?)(?: \\)?$", lock.read_text(), re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        found = distribution(requirement.name)
        assert found.version in requirement.specifier, f"this environment has another version than {line}"
        for file in found.files or ():
            source = Path(str(found.locate_file(file))).resolve()
            target = Path(os.path.normpath(image.packages / file))
            if target.exists() or not source.is_file() or _is_script(source, target):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)


def _is_script(source: Path, target: Path) -> bool:
    """A command that would start this environment's Python."""
    return target.parent.name == "bin" and source.read_bytes()[:2] == b"#!"
