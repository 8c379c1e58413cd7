"""`host:port` is taken apart in one way."""

import pytest

from common.endpoint import split_endpoint


@pytest.mark.parametrize(
    ("endpoint", "parts"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("tenants.internal:65535", ("tenants.internal", 65535)),
        ("[fd00::1]:443", ("fd00::1", 443)),
    ],
)
def test_host_and_port_come_apart_and_an_ipv6_address_out_of_its_brackets(
    endpoint: str, parts: tuple[str, int]
) -> None:
    assert split_endpoint(endpoint) == parts


@pytest.mark.parametrize(
    "endpoint", ["", "host", ":80", "[]:80", "host:", "host:http", "host:-1", "host:65536", "host:²"]
)
def test_what_is_no_endpoint_is_refused_and_not_shown(endpoint: str) -> None:
    with pytest.raises(ValueError, match=r"^must be host:port$"):
        split_endpoint(endpoint)
