"""The settings of authentication, as they are read from the environment."""

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
