"""What the Dockerfile promises, read from it; what its images hold is tried in `test_images`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.dockerfile import ROOT, ancestry, is_ignored, stages

IMAGES = ("runtime", "local")


def test_linter_finds_nothing() -> None:
    command = [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_build_without_a_target_makes_the_one_for_production() -> None:
    assert list(stages())[-1] == "runtime"


def test_everything_that_is_copied_exists_and_is_in_the_context() -> None:
    for stage in stages().values():
        for source, names, _ in stage.copies:
            if source is None:
                for name in names:
                    assert (ROOT / name).exists(), name
                    assert not is_ignored(name), name
            else:
                assert source in stages()


@pytest.mark.parametrize(
    "path",
    [".git/config", ".env", ".local/admin_api_key", "tests/conftest.py", "docs/gcp.md", "bench/__init__.py", ".venv/bin/pip",
     "common/.env", "common/.env.production", "gateway/server.key", "common/__pycache__/x.pyc", "new-folder/file"],
)  # fmt: skip
def test_what_an_image_does_not_need_is_not_in_the_context(path: str) -> None:
    assert is_ignored(path)


@pytest.mark.parametrize(
    "path",
    ["common/settings.py", "configs/gcp/example/dryrun.yml", "requirements/production.txt", "sdk/pyproject.toml"],
)
def test_what_an_image_needs_is_in_the_context(path: str) -> None:
    assert not is_ignored(path)


def test_everything_from_outside_is_pinned_with_its_hash() -> None:
    installs = [run for stage in stages().values() for run in stage.runs if "pip" in run and " install " in run]
    assert len(installs) == 5
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install
    assert "PIP_NO_DEPS" in stages()["building"].environment


@pytest.mark.parametrize("image", IMAGES)
def test_image_is_made_of_the_bare_one_and_one_environment(image: str) -> None:
    line = ancestry(image)
    assert [stage.name for stage in line] == ["bare", image]
    assert [copied for stage in line for copied in stage.copies] == [
        ("services" if image == "runtime" else "stack", ["/opt/convergence"], "/opt/convergence")
    ]
    assert (
        stages()["bare"].runs[0]
        == "python -m pip uninstall --yes --quiet --root-user-action ignore setuptools wheel pip"
    )
    words = [word for stage in line for word, _ in stage.instructions]
    assert "ENTRYPOINT" not in words
    assert "ADD" not in words


def test_what_the_standard_library_would_install_pip_from_is_removed(tmp_path: Path) -> None:
    """Tried on a module that stands in for `ensurepip`, whose wheels here are this machine's."""
    _, removal = stages()["bare"].runs
    bundled = tmp_path / "ensurepip" / "_bundled"
    bundled.mkdir(parents=True)
    (bundled / "pip-1-py3-none-any.whl").touch()
    (tmp_path / "ensurepip" / "__init__.py").touch()
    programs = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(
        ["sh", "-ec", removal],
        cwd=tmp_path,
        env={"PATH": programs, "PYTHONPATH": str(tmp_path)},
        timeout=60,
        check=True,
    )
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if "__pycache__" not in path.parts]
    assert sorted(left) == ["ensurepip", "ensurepip/__init__.py"]


@pytest.mark.parametrize("image", IMAGES)
def test_image_runs_one_program_directly_as_a_user_without_rights(image: str) -> None:
    stage = stages()[image]
    assert stage.last("USER") == "10001:10001"
    assert stage.instructions.index(("USER", "10001:10001")) > max(
        number for number, (word, _) in enumerate(stage.instructions) if word in {"RUN", "COPY"}
    )
    command = json.loads(stage.last("CMD") or "")
    assert re.fullmatch(r"convergence-[a-z-]+", command[0])


def test_production_image_gets_nothing_of_the_local_stack() -> None:
    text = " ".join(rest for stage in ancestry("services") for _, rest in stage.instructions)
    assert "production.txt" in text
    assert not re.search(r"local|development|stack", text)
