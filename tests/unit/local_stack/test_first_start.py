"""The secrets of a stack in containers, and where its servers may listen."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from common.api_keys.hashing import digest
from common.api_keys.key import is_admin_shaped
from common.secret import read_secret_file
from local_stack.errors import StackError
from local_stack.first_start import HASHES, TOKENS, make_secrets
from local_stack.state import ADMIN_KEY


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("admin", "shared"):
        (tmp_path / name).mkdir(mode=0o700)
    return tmp_path / "admin", tmp_path / "shared"


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_first_start_makes_what_the_services_read_and_the_next_ones_keep_it(folders: tuple[Path, Path]) -> None:
    make_secrets(*folders)
    before = [held(folder) for folder in folders]
    admin, shared = before
    assert is_admin_shaped(admin[ADMIN_KEY])
    assert shared[HASHES].strip() == digest(admin[ADMIN_KEY])
    assert admin[ADMIN_KEY] not in "".join(shared.values())
    assert len({read_secret_file(folders[1] / name).reveal() for name in TOKENS}) == len(TOKENS)
    for path in (*folders[0].iterdir(), *folders[1].iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    make_secrets(*folders)
    assert [held(folder) for folder in folders] == before


def test_removed_admin_key_is_replaced_together_with_its_hash(folders: tuple[Path, Path]) -> None:
    make_secrets(*folders)
    old = held(folders[1])[HASHES]
    (folders[0] / ADMIN_KEY).unlink()
    make_secrets(*folders)
    assert held(folders[1])[HASHES].strip() == digest(held(folders[0])[ADMIN_KEY])
    assert held(folders[1])[HASHES] != old


def test_file_that_holds_no_admin_key_is_refused_and_not_shown(folders: tuple[Path, Path]) -> None:
    (folders[0] / ADMIN_KEY).write_text("something else")
    with pytest.raises(StackError, match="does not hold an admin key") as refused:
        make_secrets(*folders)
    assert "something else" not in str(refused.value)


@pytest.mark.parametrize("module", ["warehouse", "kms", "sample_data"])
def test_plaintext_beyond_the_loopback_address_is_refused_unless_asked_for(module: str, tmp_path: Path) -> None:
    needed = {"sample_data": ("--files-dir", tmp_path)}.get(module, ("--data-dir", tmp_path))
    command = [sys.executable, "-m", f"local_stack.{module}", "--host", "0.0.0.0", "--port", "1", *map(str, needed)]
    done = subprocess.run(
        [*command, "--token-file", str(tmp_path / "none")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--allow-plaintext" in done.stderr
