"""Where a request came from, and under which address it reached us: values that the router injects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.requests import Request


class ClientAddress(str):
    """An IPv4 address, or the /64 network of an IPv6 one: what one client can be told apart by."""

    __slots__ = ()


class BaseUrl(str):
    """Scheme, host and path of this installation as the outside sees it, without a trailing slash."""

    __slots__ = ()


def client_address(*, trust_proxy: bool) -> Callable[[Request], Awaitable[ClientAddress]]:
    """``trust_proxy``: believe the last entry of X-Forwarded-For, which is the one our own proxy wrote."""

    async def resolve(request: Request) -> ClientAddress:
        peer = request.client.host if request.client else ""
        if trust_proxy:
            forwarded = [
                entry.strip() for line in request.headers.getlist("x-forwarded-for") for entry in line.split(",")
            ]
            peer = forwarded[-1] if forwarded and forwarded[-1] else peer
        return ClientAddress(_grouped(peer))

    return resolve


def base_url(public_url: str | None) -> Callable[[Request], Awaitable[BaseUrl]]:
    """The configured address, or the one that this request used."""

    async def resolve(request: Request) -> BaseUrl:
        return BaseUrl((public_url or str(request.base_url)).rstrip("/"))

    return resolve


def _grouped(peer: str) -> str:
    try:
        address = ip_address(peer)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((int(address), 64), strict=False))
    return str(address)
