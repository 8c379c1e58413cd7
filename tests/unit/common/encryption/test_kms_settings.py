"""How the key is named, and what `connect` makes of it."""

from pathlib import Path

import pytest

from common.encryption.cipher import Context
from common.encryption.kms import connect
from common.encryption.settings import KmsSettings
from common.errors import DependencyRefused
from common.settings import load
from tests.local_kms import KEY, TOKEN, emulator

PARTS = {"KMS_PROJECT_ID": "test", "KMS_LOCATION": "global", "KMS_KEYRING": "ring", "KMS_KEY": "key"}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("GCP_KMS_KEY_NAME", *PARTS, "CONVERGENCE_KMS_ENDPOINT", "CONVERGENCE_KMS_TOKEN_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)


def test_the_key_is_named_in_full_or_by_its_four_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as scope:
        _set(scope, {"GCP_KMS_KEY_NAME": KEY})
        assert load(KmsSettings).kms_key_name == KEY
    _set(monkeypatch, PARTS)
    assert load(KmsSettings).kms_key_name == KEY


def test_the_key_is_read_from_a_dot_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"GCP_KMS_KEY_NAME={KEY}\nKMS_KEY=\nSOMETHING_ELSE=1\n")
    assert load(KmsSettings).kms_key_name == KEY


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "not named"),
        ({"KMS_PROJECT_ID": "test", "KMS_KEY": "key"}, "KMS_LOCATION, KMS_KEYRING"),
        ({"GCP_KMS_KEY_NAME": KEY, **PARTS}, "not both"),
        ({"GCP_KMS_KEY_NAME": KEY, "KMS_KEY": "key"}, "not both"),
        ({"GCP_KMS_KEY_NAME": "my-key"}, "must read projects/P/locations/L/keyRings/R/cryptoKeys/K"),
        ({"GCP_KMS_KEY_NAME": f"{KEY}/cryptoKeyVersions/1"}, "must read"),
        ({**PARTS, "KMS_KEY": "a/b"}, "must read"),
    ],
)
def test_a_key_that_is_not_named_exactly_once_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], problem: str
) -> None:
    _set(monkeypatch, variables)
    with pytest.raises(SystemExit, match="GCP_KMS_KEY_NAME: ") as caught:
        load(KmsSettings)
    assert problem in str(caught.value)


def test_every_problem_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(
        monkeypatch,
        {
            "KMS_KEY": "key",
            "CONVERGENCE_KMS_MAX_BYTES": "70000",
            "CONVERGENCE_KMS_TIMEOUT_SECONDS": "soon",
            "CONVERGENCE_KMS_ENDPOINT": "kms.example.com:443",
        },
    )
    with pytest.raises(SystemExit) as caught:
        load(KmsSettings)
    message = str(caught.value)
    for expected in (
        "KMS_PROJECT_ID, KMS_LOCATION, KMS_KEYRING",
        "CONVERGENCE_KMS_MAX_BYTES: ",
        "CONVERGENCE_KMS_TIMEOUT_SECONDS: ",
        "CONVERGENCE_KMS_ENDPOINT: is beyond the loopback address",
    ):
        assert expected in message


def test_a_token_without_an_emulator_is_refused_for_it_must_not_reach_anyone_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _set(monkeypatch, {"GCP_KMS_KEY_NAME": KEY, "CONVERGENCE_KMS_TOKEN_FILE": "token"})
    with pytest.raises(SystemExit, match="CONVERGENCE_KMS_TOKEN_FILE: is for an emulator"):
        load(KmsSettings)


async def test_what_the_settings_describe_is_connected_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(f"{TOKEN}\n")
    async with emulator(tmp_path / "kms") as address:
        _set(monkeypatch, {**PARTS, "CONVERGENCE_KMS_ENDPOINT": address, "CONVERGENCE_KMS_TOKEN_FILE": str(token_file)})
        kms = connect(load(KmsSettings))
        context = Context(tenant_id="acme", table="api_keys", row_id="1", purpose="api_key")
        encrypted = await kms.encrypt_value("value", context)
        assert await kms.decrypt_value(encrypted.ciphertext, context) == "value"
        await kms.close()


async def test_without_google_credentials_an_operator_is_asked_to_act(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials.json"
    credentials.write_text("{}")
    _set(monkeypatch, {"GCP_KMS_KEY_NAME": KEY, "GOOGLE_APPLICATION_CREDENTIALS": str(credentials)})
    with pytest.raises(DependencyRefused):
        connect(load(KmsSettings))
