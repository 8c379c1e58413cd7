"""The settings of authentication, as they are read from the environment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from common.api_keys.hashing import digest
from common.rpc.settings import AuthSettings

OLD, NEW = digest("an old key"), digest("a new key")
A_KEY = f"convergence_admin_{'x' * 32}"


def settings(monkeypatch: pytest.MonkeyPatch, **values: str) -> AuthSettings:
    for name, value in values.items():
        monkeypatch.setenv(f"CONVERGENCE_{name}".upper(), value)
    return AuthSettings(_env_file=None)


@pytest.mark.parametrize(("text", "hashes"), [(NEW, (NEW,)), (f"{OLD},{NEW}", (OLD, NEW)), ("", ())])
def test_any_number_of_admin_keys_is_named_by_their_digests(
    monkeypatch: pytest.MonkeyPatch, text: str, hashes: tuple[str, ...]
) -> None:
    assert settings(monkeypatch, admin_key_hashes=text).admin_key_hashes == hashes


@pytest.mark.parametrize("text", [A_KEY, OLD[:-1], OLD.upper(), f"{OLD};{NEW}"])
def test_what_is_no_digest_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(monkeypatch, admin_key_hashes=text)
    assert text not in str(refused.value)


@pytest.mark.parametrize("text", [f"{OLD}\n{NEW}\n", f"{OLD}, {NEW}", f"\n{OLD},\r\n{NEW},\n"])
def test_digests_in_a_file_are_accepted_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    other = digest("another key")
    (tmp_path / "hashes").write_text(text)
    told = settings(monkeypatch, admin_key_hashes=other, admin_key_hashes_file=str(tmp_path / "hashes"))
    assert told.known_admin_hashes() == (other, OLD, NEW)


@pytest.mark.parametrize("text", ["", A_KEY, OLD[:-1], f"{OLD};{NEW}"])
def test_file_that_holds_anything_else_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "hashes"
    path.write_text(text)
    with pytest.raises(ValueError, match="must be SHA-256 digests") as refused:
        settings(monkeypatch, admin_key_hashes_file=str(path)).known_admin_hashes()
    assert str(path) in str(refused.value)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602, 0o660])
def test_file_that_others_may_write_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "hashes"
    path.write_text(OLD)
    path.chmod(mode)
    with pytest.raises(ValueError, match="may be written by others") as refused:
        settings(monkeypatch, admin_key_hashes_file=str(path)).known_admin_hashes()
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o644, 0o444])
def test_file_that_others_may_only_read_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "hashes"
    path.write_text(OLD)
    path.chmod(mode)
    assert settings(monkeypatch, admin_key_hashes_file=str(path)).known_admin_hashes() == (OLD,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auth_bound_seconds", "0.5"),
        ("auth_bound_seconds", "3601"),
        ("auth_wait_seconds", "0"),
        ("last_used_interval_seconds", "0"),
        ("last_used_interval_seconds", "86401"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, **{name: value})


def test_what_is_published_is_what_is_set_where_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    default = settings(monkeypatch)
    assert (default.auth_bound_seconds, default.last_used_interval_seconds) == (30, 3600)
