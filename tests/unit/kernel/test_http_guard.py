"""Which addresses and URLs the guard lets pass, as tables."""

import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from inbox.kernel.http_errors import origin_of
from inbox.kernel.http_guard import GuardedResolver, NotAllowed, guarded_socket, kind_of_refused, parse_url

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "unspecified"),  # noqa: S104
        ("10.255.0.1", "private"),
        ("100.64.0.1", "shared by a carrier"),
        ("100.100.100.200", "shared by a carrier"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "metadata"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "reserved"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarking"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::127.0.0.1", "reserved"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a00:1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b:1::1", "reserved"),
        ("100::1", "reserved"),
        ("2001::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "reserved"),
        ("3fff::1", "documentation"),
        ("5f00::1", "reserved"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "reserved"),
        ("ff02::1", "multicast"),
        ("8.8.8.8", None),
        ("149.154.167.220", None),
        ("172.32.0.1", None),
        ("100.128.0.1", None),
        ("2a03:2880:f11c::1", None),
        ("2001:4860:4860::8888", None),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::808:808", None),
    ],
)
def test_kind_of_refused(address: str, kind: str | None) -> None:
    assert kind_of_refused(ipaddress.ip_address(address)) == kind


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", None),
        ("::ffff:127.0.0.1", None),
        ("::1", "loopback"),
        ("10.0.0.1", "private"),
        ("64:ff9b::7f00:1", "loopback"),  # behind the gateway it is somebody else's loopback
    ],
)
def test_an_allowed_network_opens_only_itself(address: str, kind: str | None) -> None:
    assert kind_of_refused(ipaddress.ip_address(address), LOOPBACK) == kind


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/", "scheme other than http and https"),
        ("file:///etc/passwd", "scheme other than http and https"),
        ("//example.com/", "scheme other than http and https"),
        ("", "scheme other than http and https"),
        ("http:///x", "URL without a host"),
        ("http://user@example.com/", "URL with a user name or password"),
        ("http://user:secret@example.com/", "URL with a user name or password"),
        ("http://@example.com/", "URL with a user name or password"),
        ("http://example.com\\@10.0.0.1/", "URL with a space, backslash or control character"),
        ("http://example.com/\r\nX: y", "URL with a space, backslash or control character"),
        ("http://example.com:99999/", "malformed URL"),
        ("http://example.com:0/", "port 0"),
        ("http://127.0.0.1/", "loopback address"),
        ("http://[::1]/", "loopback address"),
        ("http://[::ffff:127.0.0.1]/", "loopback address"),
        ("http://[fe80::1%25eth0]/", "link-local address"),
        ("http://2130706433/", "not an address"),
        ("http://127.1/", "not an address"),
        ("http://017700000001/", "not an address"),
        ("http://１２７.0.0.1/", "loopback address"),
    ],
)
def test_refused_urls(url: str, reason: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        parse_url(url, ())
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com/a%2Db?sig=%2B+~&x=%zz", "/a%2Db?sig=%2B+~&x=%zz"),  # a signed link stays as it is
        ("https://api.telegram.org/bot1:A-b_C/getMe", "/bot1:A-b_C/getMe"),
        ("http://8.8.8.8:8443/x", "/x"),
        ("http://example.com/größe", "/gr%C3%B6%C3%9Fe"),
    ],
)
def test_allowed_urls(url: str, target: str) -> None:
    assert parse_url(url, ()).raw_path_qs == target


def test_a_literal_in_an_allowed_network_passes() -> None:
    assert parse_url("http://127.0.0.1:8081/", LOOPBACK).port == 8081


class Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


async def test_a_public_answer_passes_unchanged() -> None:
    found = await GuardedResolver((), Names("8.8.8.8", "2a03:2880::1")).resolve("example.com", 443)
    assert [entry["host"] for entry in found] == ["8.8.8.8", "2a03:2880::1"]


@pytest.mark.parametrize("addresses", [("8.8.8.8", "10.0.0.1"), ("::1", "8.8.8.8"), ("fe80::1%eth0",)])
async def test_one_bad_address_spoils_the_answer(addresses: tuple[str, ...]) -> None:
    with pytest.raises(NotAllowed):
        await GuardedResolver((), Names(*addresses)).resolve("example.com", 443)


async def test_closing_closes_the_resolver_inside() -> None:
    inner = Names()
    await GuardedResolver((), inner).close()
    assert inner.closed


def test_the_socket_is_refused_at_the_last_moment() -> None:
    make = guarded_socket(())
    with pytest.raises(NotAllowed, match="private"):
        make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 80)))
    with make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("8.8.8.8", 80))) as made:
        assert not made.getblocking()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.telegram.org/bot1:secret/x?token=secret", "https://api.telegram.org"),
        ("http://user:secret@example.com:8080/", "http://example.com:8080"),
        ("secret", "(malformed URL)"),
        ("http://[secret/", "(malformed URL)"),
        ("mailto:secret", "(malformed URL)"),
    ],
)
def test_origin_is_all_that_shows(url: str, origin: str) -> None:
    assert origin_of(url) == origin
