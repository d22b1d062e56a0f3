"""No test reaches beyond this machine: a look-up or connection elsewhere is refused and fails the test that made it.

An audit hook sees every Python socket. It cannot be removed, so it is installed once per process.
"""

from __future__ import annotations

import ipaddress
import sys

attempts: list[str] = []
"""What was refused since the last look."""

_LOCAL_NAMES = frozenset({"", "localhost"})
_installed = False


class StrayConnection(PermissionError):
    """A test tried to leave this machine."""


def install() -> None:
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_audit)


def is_local(host: object) -> bool:
    if host is None:
        return True
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    if name in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not is_local(address[0]):
            _refuse(f"{event} {address[0]}:{address[1]}")
    elif event == "socket.getaddrinfo":
        host = arguments[0]
        if not is_local(host) and not _is_address(host):  # writing an address down sends nothing
            _refuse(f"{event} {host}")
    elif event in ("socket.gethostbyname", "socket.gethostbyaddr") and not is_local(arguments[0]):
        _refuse(f"{event} {arguments[0]}")


def _is_address(host: object) -> bool:
    try:
        ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return True


def _refuse(what: str) -> None:
    attempts.append(what)
    raise StrayConnection(f"a test must stay on this machine: {what}")
