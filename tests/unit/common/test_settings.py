"""Settings are read once; every problem is told at once, and no value is."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from common.secret import Secret
from common.settings import CommaSeparated, PlaintextEndpoint, Settings, is_loopback, load


class StoreSettings(Settings):
    """A part with a check of the whole."""

    store: Literal["memory", "disk"] = "memory"
    """Where things are kept."""
    store_path: str = ""
    """Needed for disk."""

    @model_validator(mode="after")
    def _disk_has_a_path(self) -> "StoreSettings":
        if self.store == "disk" and not self.store_path:
            raise ValueError("store=disk needs store_path")
        return self


class ListenSettings(Settings):
    """A part without the default that each service has."""

    address: str
    """Where to listen."""


class ServiceSettings(StoreSettings, ListenSettings):
    """What a service has of its own."""

    port: int = Field(ge=1, le=65535)
    """The port to listen on."""
    password: Secret
    """The password."""
    legacy: int = Field(1, validation_alias="OLD_NAME")
    """A variable with a name of its own."""
    admin_key_hashes: CommaSeparated = ()
    """SHA-256 of each admin key."""
    address: str = "here"
    """Where this service listens."""
    peer: PlaintextEndpoint = "127.0.0.1:1"
    """Another service."""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def good(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("CONVERGENCE_PORT", "50051")
    monkeypatch.setenv("CONVERGENCE_PASSWORD", "hunter2")
    return monkeypatch


def test_settings_come_from_the_environment_before_dot_env(good: pytest.MonkeyPatch, tmp_path: Path) -> None:
    good.setenv("CONVERGENCE_STORE", "")
    (tmp_path / ".env").write_text("CONVERGENCE_PORT=1\nOLD_NAME=7\nCONVERGENCE_ADMIN_KEY_HASHES=a1, b2,\nUNKNOWN=x\n")
    settings = load(ServiceSettings)
    assert (settings.port, settings.legacy, settings.admin_key_hashes) == (50051, 7, ("a1", "b2"))
    assert settings.store == "memory", "an empty variable counts as unset"
    assert settings.password.reveal() == "hunter2"


def test_every_problem_is_reported_at_once_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {
        "CONVERGENCE_PORT": "70000",
        "OLD_NAME": "many",
        "CONVERGENCE_STORE": "disk",
        "CONVERGENCE_LOG_FORMAT": "xml",
        "CONVERGENCE_PEER": "peer.example.com:443",
    }.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        load(ServiceSettings)
    message = str(caught.value)
    for expected in (
        "CONVERGENCE_PORT: Input should be less than or equal to 65535",
        "CONVERGENCE_PASSWORD: is not set. The password.",
        "OLD_NAME: Input should be a valid integer",
        "CONVERGENCE_LOG_FORMAT: Input should be 'json' or 'console'",
        "CONVERGENCE_PEER: is beyond the loopback address",
    ):
        assert message.count(expected) == 1
    assert "CONVERGENCE_ADDRESS" not in message, "the service has a default for what its part lacks"


def test_a_check_of_a_whole_part_is_reported_beside_a_malformed_field(good: pytest.MonkeyPatch) -> None:
    good.setenv("CONVERGENCE_STORE", "disk")
    good.setenv("CONVERGENCE_PORT", "x")
    with pytest.raises(SystemExit) as caught:
        load(ServiceSettings)
    assert "store=disk needs store_path" in str(caught.value)
    assert "CONVERGENCE_PORT" in str(caught.value)


def test_no_value_is_shown_in_problems_or_reprs(good: pytest.MonkeyPatch) -> None:
    assert "hunter2" not in repr(load(ServiceSettings))
    good.setenv("CONVERGENCE_PORT", "secret-in-the-wrong-place")
    with pytest.raises(SystemExit) as caught:
        load(ServiceSettings)
    assert "secret-in-the-wrong-place" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_settings_are_frozen(good: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        load(ServiceSettings).port = 1  # type: ignore[misc]


def test_every_setting_is_described_where_it_stands() -> None:
    assert ServiceSettings.model_fields["port"].description == "The port to listen on."
    assert all(field.description for field in ServiceSettings.model_fields.values())


def test_plaintext_beyond_loopback_is_taken_when_it_is_asked_for(good: pytest.MonkeyPatch) -> None:
    good.setenv("CONVERGENCE_PEER", "peer.example.com:443")
    good.setenv("CONVERGENCE_ALLOW_PLAINTEXT", "true")
    assert load(ServiceSettings).peer == "peer.example.com:443"


@pytest.mark.parametrize("endpoint", ["127.0.0.1:1", "127.1.2.3:50051", "localhost:80", "[::1]:443"])
def test_loopback_endpoints_are_known(endpoint: str) -> None:
    assert is_loopback(endpoint)


@pytest.mark.parametrize(
    "endpoint", ["10.0.0.1:1", "0.0.0.0:1", "localhost.example.com:80", "127.0.0.1.example.com:80", "[2001:db8::1]:1"]
)
def test_other_endpoints_are_not_loopback(endpoint: str) -> None:
    assert not is_loopback(endpoint)


@pytest.mark.parametrize("endpoint", ["", "localhost", ":80", "localhost:", "localhost:http", "localhost:65536"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="must be host:port"):
        is_loopback(endpoint)
