"""Which ports the demo takes: the pleasant ones where they are free."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int, *, but: int = 0) -> int:
    """``preferred``, or one that is free now and is not ``but``."""
    if preferred != but and preferred and is_free(preferred):
        return preferred
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port != but:
            return port


def port_of(url: str) -> int | None:
    return urlsplit(url).port if url else None
