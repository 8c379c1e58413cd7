"""The state folder."""

import stat
from pathlib import Path

import pytest

from common.api_keys.key import is_admin_shaped
from local_stack.errors import StackError
from local_stack.state import State, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_is_closed_to_others_and_secrets_too(state: State) -> None:
    assert {mode(folder) for folder in (state.root, state.run, state.log, state.data("kms"))} == {0o700}
    assert {mode(file) for file in (state.admin_key_file, state.token_file("kms"), state.token_file("warehouse"))} == {
        0o600
    }


def test_admin_key_has_its_shape_and_no_newline(state: State) -> None:
    assert is_admin_shaped(state.admin_key_file.read_text())


def test_keys_survive_a_restart_and_loosened_modes_are_mended(state: State) -> None:
    key, token = state.admin_key_file.read_text(), state.token_file("kms").read_text()
    state.admin_key_file.chmod(0o644)
    state.root.chmod(0o755)
    state.prepare()
    assert (state.admin_key_file.read_text(), state.token_file("kms").read_text()) == (key, token)
    assert (mode(state.admin_key_file), mode(state.root)) == (0o600, 0o700)


def test_two_stacks_have_different_keys(tmp_path: Path) -> None:
    states = [State(tmp_path / name) for name in "ab"]
    for state in states:
        state.prepare()
    assert states[0].admin_key_hash() != states[1].admin_key_hash()


@pytest.mark.parametrize("damaged", [b"", b"hunter2", b"hunter2\xff"])
def test_damaged_admin_key_is_reported_without_showing_it(state: State, damaged: bytes) -> None:
    state.admin_key_file.write_bytes(damaged)
    with pytest.raises(StackError, match="does not hold an admin key") as caught:
        state.prepare()
    assert "hunter2" not in str(caught.value)


def test_unusable_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="cannot use"):
        State(tmp_path / "file").prepare()


def test_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for text in ("first and longer", "second"):
        write_private(path, text)
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]
