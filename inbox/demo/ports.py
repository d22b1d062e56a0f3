"""Which ports the demo takes: the pleasant ones where they are free."""

from __future__ import annotations

import secrets
import socket
from urllib.parse import urlsplit

from inbox.demo.errors import DemoError

FIRST_OF_OURS, LAST_OF_OURS = 15_000, 30_000
"""Below what systems hand out for outgoing connections."""
TRIED = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int, *, but: int = 0) -> int:
    """``preferred`` or the next free one, but not ``but``; 0 begins anywhere. Raises ``DemoError``.

    A port is kept for later starts, so it is not one of those that the system hands out for a moment.
    """
    first = preferred or FIRST_OF_OURS + secrets.randbelow(LAST_OF_OURS - FIRST_OF_OURS)
    for port in range(first, min(first + TRIED, 65536)):
        if port != but and is_free(port):
            return port
    raise DemoError(f"none of the ports from {first} on is free", "choose one with --port and --simulator-port")


def port_of(url: str) -> int | None:
    return urlsplit(url).port if url else None
