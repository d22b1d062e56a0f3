"""Where an outbound request may go: to addresses of the public internet, and to networks allowed by setting.

The check stands where the socket is made: `GuardedResolver` refuses a name as soon as one of its addresses is not
public, and `guarded_socket` looks once more at the very address that is about to be connected. A name that changes
its answer between check and use (DNS rebinding) therefore gains nothing.
Networks: IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates).
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from aiohttp import AddrInfoType, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# Kept here rather than asked of `ipaddress`, whose idea of "global" differs between Python releases.
_REFUSED_V4: Final = tuple(
    (ipaddress.IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),  # Azure's host agent answers on a public address
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_REFUSED_V6: Final = tuple(
    (ipaddress.IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # Teredo, ORCHID, benchmarking: tunnels and things that are not hosts
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "reserved"),  # 6to4 carries an IPv4 address of any kind
        ("3fff::/20", "documentation"),
    )
)
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

_UNSENDABLE: Final = re.compile(r"[\x00-\x20\x7f\\]")


class NotAllowed(Exception):
    """The guard's no. `reason` names the kind of address, never the address: that would map an internal network."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def kind_of_refused(address: Address, allow_private: Sequence[Network] = ()) -> str | None:
    """Why this address must not be connected to, in one or two words; `None` when it may be."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in allow_private if network.version == address.version):
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return next((kind for network, kind in _REFUSED_V4 if address in network), None)
    if address in _NAT64:
        # What a DNS64 resolver makes of a public IPv4 host; the gateway connects to the address inside.
        return kind_of_refused(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    kind = next((kind for network, kind in _REFUSED_V6 if address in network), None)
    return kind or (None if address in _PUBLIC_V6 else "reserved")


def check_address(address: str, allow_private: Sequence[Network]) -> None:
    """Raise `NotAllowed` unless this numeric address may be connected to."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise NotAllowed("not an address") from None
    if kind := kind_of_refused(parsed, allow_private):
        raise NotAllowed(f"{kind} address")


def parse_url(url: str, allow_private: Sequence[Network]) -> URL:
    """The URL as it will be requested, or `NotAllowed`. A host that is a name is checked later, when it is resolved.

    What is already ASCII is sent byte for byte: re-quoting breaks the signature of a signed link.
    """
    if _UNSENDABLE.search(url):
        raise NotAllowed("URL with a space, backslash or control character")
    try:
        parsed = URL(url, encoded=url.isascii())
        host, _ = parsed.raw_host, parsed.port
    except ValueError:
        raise NotAllowed("malformed URL") from None
    if parsed.scheme not in ("http", "https"):
        raise NotAllowed("scheme other than http and https")
    if not host:
        raise NotAllowed("URL without a host")
    if "@" in parsed.raw_authority:
        raise NotAllowed("URL with a user name or password")
    if parsed.port == 0:
        raise NotAllowed("port 0")
    if ":" in host or host.replace(".", "").isdigit():
        check_address(host, allow_private)
    return parsed


class GuardedResolver(AbstractResolver):
    """Resolves names and lets an answer pass only when every address in it may be connected to.

    One bad address spoils the answer: a name worth calling never mixes public and private ones, an attack does.
    """

    def __init__(self, allow_private: Sequence[Network], inner: AbstractResolver | None = None) -> None:
        self._allow_private = allow_private
        self._inner = inner if inner is not None else ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for entry in found:
            check_address(entry["host"], self._allow_private)
        return found

    async def close(self) -> None:
        await self._inner.close()


def guarded_socket(allow_private: Sequence[Network]) -> Callable[[AddrInfoType], socket.socket]:
    """A socket factory for the connector that refuses the address which is about to be connected."""

    def make(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, target = address
        check_address(str(target[0]), allow_private)
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return make
