"""The shape of keys."""

import pytest

from common.api_keys.key import display_prefix, is_admin_shaped, mint, mint_admin, tenant_of_key


@pytest.mark.parametrize("tenant_id", ["acmeinc_23xv2", "abc", "a_api_b", "api_api_", "x" * 50])
def test_a_minted_key_names_its_tenant(tenant_id: str) -> None:
    assert tenant_of_key(mint(tenant_id).reveal()) == tenant_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "_api_0123456789abcdef",
        "ab_api_0123456789abcdef",
        "Acme_api_0123456789abcdef",
        "acme_api_0123456789abcde",
        "acme_api_0123456789abcde-",
        "acme_api_0123456789abcdé",
        "acme_API_0123456789abcdef",
        "acme_api_0123456789abcdef\n",
        "system_api_0123456789abcdef",
        "billing_export_acme_api_0123456789abcdef",
        "acme'; DROP TABLE x_api_0123456789abcdef",
    ],
)
def test_what_is_not_shaped_like_a_key_names_nobody(text: str) -> None:
    assert tenant_of_key(text) is None


def test_keys_do_not_repeat() -> None:
    assert len({mint("acme").reveal() for _ in range(1000)}) == 1000


def test_admin_keys_are_told_from_tenants_keys() -> None:
    assert is_admin_shaped(mint_admin().reveal())
    assert tenant_of_key(mint_admin().reveal()) is None
    assert not is_admin_shaped(mint("acme").reveal())


def test_the_displayed_characters_are_four_of_the_random_ones() -> None:
    key = mint("acme")
    assert key.reveal().startswith(display_prefix("acme", key))
    assert len(display_prefix("acme", key)) == len("acme_api_") + 4
