"""What is taken for a credential of each kind: every fault at once, none of them repeating what was given."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from common.credentials.kinds import Acceptance, AcceptedCredential, GivenCredential, Kind
from common.credentials.settings import GOOGLE_TOKEN_URI
from common.errors import InvalidInput
from common.fields import Fields
from tests.service_accounts import EMAIL, key_file, pem, rsa_key

AWS_ID, AWS_SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def _checked(given: GivenCredential | None, **limits: Any) -> AcceptedCredential:
    fields = Fields()
    accepted = Acceptance(**{"token_uris": [GOOGLE_TOKEN_URI], "kms_max_bytes": 65536, **limits}).check(fields, given)
    fields.require_valid()
    assert accepted is not None
    return accepted


def _faults(given: GivenCredential | None, **limits: Any) -> dict[str, str]:
    """The faults by field. None repeats a longer piece of what was given."""
    with pytest.raises(InvalidInput) as caught:
        _checked(given, **limits)
    for text in given.texts.values() if given else ():
        pieces = {text[start : start + 8] for start in range(0, min(len(text), 5000) - 7)}
        told = (GOOGLE_TOKEN_URI, "googleapis.com", "service_account")  # what is always said
        said = " ".join(v.description for v in caught.value.violations)
        for each in told:
            said = said.replace(each, "")
        assert not [piece for piece in pieces if piece in said]
    assert caught.value.__cause__ is None
    return {violation.field: violation.description for violation in caught.value.violations}


def _one(kind: Kind, text: str) -> GivenCredential:
    return GivenCredential(kind, {kind: text})


def _account(**changes: Any) -> GivenCredential:
    return _one("gcp_service_account", key_file(**changes))


def _aws(key_id: str = AWS_ID, secret: str = AWS_SECRET) -> GivenCredential:
    return GivenCredential(
        "aws_access_key", {"aws_access_key.access_key_id": key_id, "aws_access_key.secret_access_key": secret}
    )


@pytest.mark.parametrize("changes", [{}, {"private_key_id": None, "universe_domain": None}, {"extra": {"deep": [1]}}])
def test_a_service_accounts_key_file_is_taken_as_it_stands_and_known_by_its_e_mail(changes: dict[str, Any]) -> None:
    given = _account(**changes)
    accepted = _checked(given)
    assert accepted.plaintext.reveal() == given.texts["gcp_service_account"]
    assert accepted.identity == EMAIL


@pytest.mark.parametrize("bits", [2048, 4096])
def test_keys_of_2048_to_4096_bits_are_taken(bits: int) -> None:
    assert _checked(_account(private_key=pem(rsa_key(bits)))).identity == EMAIL


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "authorized_user"}, "type"),
        ({"type": "Service_Account"}, "type"),
        ({"type": ["service_account"]}, "type"),
        ({"type": None}, "type"),
        ({"client_email": None}, "client_email"),
        ({"client_email": "person@example.com"}, "client_email"),
        ({"client_email": f"{EMAIL}\n"}, "client_email"),
        ({"client_email": f"a@b.iam.gserviceaccount.com/{EMAIL}"}, "client_email"),
        ({"private_key_id": "a\r\nb"}, "private_key_id"),
        ({"private_key_id": 7}, "private_key_id"),
        ({"token_uri": None}, "token_uri"),
        ({"token_uri": "http://10.0.0.5/token"}, "token_uri"),
        ({"token_uri": "http://169.254.169.254/computeMetadata/v1/"}, "token_uri"),
        ({"token_uri": "https://oauth2.googleapis.com/token/"}, "token_uri"),
        ({"token_uri": "https://OAUTH2.googleapis.com/token"}, "token_uri"),
        ({"token_uri": "https://oauth2.googleapis.com@10.0.0.5/token"}, "token_uri"),
        ({"token_uri": "https://oauth2.googleapis.com/token?x"}, "token_uri"),
        ({"universe_domain": "example.com"}, "universe_domain"),
        ({"universe_domain": ""}, "universe_domain"),
    ],
)
def test_a_key_file_of_another_kind_or_for_another_place_is_refused(changes: dict[str, Any], field: str) -> None:
    assert list(_faults(_account(**changes))) == [f"gcp_service_account.{field}"]


def _without_a_public_half() -> rsa.RSAPrivateKey:
    """A key with the exponents of another: what it signs nobody can verify."""
    own, other = rsa_key().private_numbers(), rsa_key(number=2).private_numbers()
    numbers = rsa.RSAPrivateNumbers(own.p, own.q, other.d, other.dmp1, other.dmq1, own.iqmp, own.public_numbers)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


OF_NO_USE: dict[str, Callable[[], str]] = {
    "missing": str,
    "no PEM": lambda: "a private key",
    "not base64": lambda: "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
    "no key inside": lambda: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "cut off": lambda: pem(rsa_key())[:-200],
    "altered": lambda: pem(rsa_key()).replace("A", "B"),
    "public": lambda: pem(rsa_key()).replace("PRIVATE", "PUBLIC"),
    "with a password": lambda: pem(rsa_key(), password="secret"),
    "of an elliptic curve": lambda: pem(ec.generate_private_key(ec.SECP256R1())),
    "of 1024 bits": lambda: pem(rsa_key(1024)),
    "whose halves do not belong together": lambda: pem(_without_a_public_half()),
    "longer than any of 4096 bits": lambda: pem(rsa_key()) + "\n" * 4096,
}


@pytest.mark.parametrize("name", OF_NO_USE)
def test_a_private_key_that_cannot_be_used_is_refused(name: str) -> None:
    assert list(_faults(_account(private_key=OF_NO_USE[name]()))) == ["gcp_service_account.private_key"]


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "null", '"service_account"', "[" * 60_000, '{"type": 1e999999', f'{{"n": {"9" * 5000}}}'],
)
def test_a_text_that_is_no_json_object_is_refused(text: str) -> None:
    assert list(_faults(_one("gcp_service_account", text))) == ["gcp_service_account"]


@pytest.mark.parametrize("twice", ['"token_uri": "https://example.com", ', '"x": {"a": 1, "a": 2}, '])
def test_a_name_that_is_there_twice_is_refused_wherever_it_is(twice: str) -> None:
    text = "{" + twice + key_file()[1:]
    assert _faults(_one("gcp_service_account", text)) == {"gcp_service_account": "has a name twice"}


def test_every_fault_of_a_key_file_is_told_at_once() -> None:
    text = json.dumps({"type": "authorized_user", "client_secret": "not-to-be-repeated", "universe_domain": "x.y"})
    expected = ["type", "client_email", "private_key", "token_uri", "universe_domain"]
    assert list(_faults(_one("gcp_service_account", text))) == [f"gcp_service_account.{name}" for name in expected]


def test_other_places_for_tokens_are_taken_where_the_setting_names_them() -> None:
    elsewhere = "http://127.0.0.1:4000/token"
    assert _checked(_account(token_uri=elsewhere), token_uris=[GOOGLE_TOKEN_URI, elsewhere]).identity == EMAIL
    assert list(_faults(_account(), token_uris=[elsewhere])) == ["gcp_service_account.token_uri"]


@pytest.mark.parametrize("text", ["sk-a", "sk-proj-abc_DEF-123~"])
def test_an_openai_key_is_taken(text: str) -> None:
    assert _checked(_one("openai_api_key", text)) == AcceptedCredential("openai_api_key", _secret(text))


@pytest.mark.parametrize("text", ["", "sk-", "pk-abc", "sk-a b", "sk-a\n", "sk-ä", "sk-a\x7f", " sk-a"])
def test_anything_else_is_no_openai_key(text: str) -> None:
    assert list(_faults(_one("openai_api_key", text))) == ["openai_api_key"]


@pytest.mark.parametrize("text", ["x", "!~", "a" * 64512])
def test_a_token_is_taken(text: str) -> None:
    assert _checked(_one("generic_token", text)) == AcceptedCredential("generic_token", _secret(text))


@pytest.mark.parametrize("text", ["", " ", "a b", "a\tb", "a\0", "ä", "a\n"])
def test_anything_else_is_no_token(text: str) -> None:
    assert list(_faults(_one("generic_token", text))) == ["generic_token"]


def test_an_aws_key_is_taken_as_both_its_parts_and_known_by_its_id() -> None:
    accepted = _checked(_aws())
    assert json.loads(accepted.plaintext.reveal()) == {"access_key_id": AWS_ID, "secret_access_key": AWS_SECRET}
    assert accepted.identity == AWS_ID


@pytest.mark.parametrize(
    ("key_id", "secret", "parts"),
    [
        (AWS_ID[:15], AWS_SECRET, ["access_key_id"]),
        (AWS_ID.lower(), AWS_SECRET, ["access_key_id"]),
        (AWS_ID, AWS_SECRET[:-1], ["secret_access_key"]),
        (AWS_ID, AWS_SECRET + "A", ["secret_access_key"]),
        (AWS_ID, AWS_SECRET[:-1] + "-", ["secret_access_key"]),
        (AWS_SECRET, AWS_ID, ["access_key_id", "secret_access_key"]),
        ("", "", ["access_key_id", "secret_access_key"]),
    ],
)
def test_a_malformed_aws_key_is_refused_by_its_parts(key_id: str, secret: str, parts: list[str]) -> None:
    assert list(_faults(_aws(key_id, secret))) == [f"aws_access_key.{part}" for part in parts]


@pytest.mark.parametrize("kind", ["gcp_service_account", "openai_api_key", "generic_token"])
@pytest.mark.parametrize(("kms_max_bytes", "most"), [(65536, 64512), (8192, 7168)])
def test_what_is_too_large_for_kms_is_refused_by_its_field(kind: Kind, kms_max_bytes: int, most: int) -> None:
    faults = _faults(_one(kind, "sk-" + "x" * (most - 2)), kms_max_bytes=kms_max_bytes)
    assert faults == {kind: f"must be at most {most} bytes"}
    largest = _one(kind, {"gcp_service_account": key_file(), "openai_api_key": "sk-", "generic_token": ""}[kind])
    filled = _one(
        kind, largest.texts[kind] + (" " if kind == "gcp_service_account" else "x") * (most - len(largest.texts[kind]))
    )
    assert len(_checked(filled, kms_max_bytes=kms_max_bytes).plaintext.reveal()) == most


def test_the_secret_of_an_aws_key_is_held_to_the_same_size() -> None:
    assert list(_faults(_aws(secret="x" * 64513))) == ["aws_access_key.secret_access_key"]


def test_a_request_without_a_credential_is_refused() -> None:
    assert _faults(None) == {"credential": "is required"}


def test_nothing_that_was_given_is_in_a_repr() -> None:
    given, accepted = _account(), _checked(_account())
    for shown in (repr(given), repr(accepted), f"{accepted.plaintext}"):
        assert "PRIVATE KEY" not in shown


def _secret(text: str) -> Any:
    return _checked(_one("generic_token", text)).plaintext
