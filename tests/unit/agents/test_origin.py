"""Where a request came from: what is believed, and what one client is told apart by."""

import pytest
from starlette.requests import Request

from inbox.agents.origin import base_url, client_address


def request(peer: str | None, *forwarded: str, host: str = "inbox.test") -> Request:
    headers = [(b"host", host.encode()), *((b"x-forwarded-for", line.encode()) for line in forwarded)]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "https",
            "server": (host, 443),
            "path": "/v1/me",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": None if peer is None else (peer, 1),
        }
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "198.51.100.1"),
        ("192.0.2.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("192.0.2.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("192.0.2.1", [""], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1,"], "192.0.2.1"),
        ("192.0.2.1", ["not an address"], "unknown"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        (None, [], "unknown"),
        ("testclient", [], "unknown"),
    ],
    ids=["peer", "proxy", "spoofed", "two-lines", "empty", "empty-last", "junk", "ipv6", "mapped", "none", "name"],
)
async def test_behind_a_proxy(peer: str | None, forwarded: list[str], expected: str) -> None:
    assert await client_address(trust_proxy=True)(request(peer, *forwarded)) == expected


async def test_without_a_proxy_the_header_says_nothing() -> None:
    assert await client_address(trust_proxy=False)(request("192.0.2.1", "198.51.100.1")) == "192.0.2.1"


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        (None, "https://inbox.test"),
        ("https://inbox.example/", "https://inbox.example"),
        ("https://inbox.example/base/", "https://inbox.example/base"),
    ],
)
async def test_the_base_is_the_configured_one_or_that_of_the_request(public_url: str | None, expected: str) -> None:
    assert await base_url(public_url)(request("192.0.2.1")) == expected
