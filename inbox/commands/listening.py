"""The socket a server listens on, bound before anything else is started: a port in use is known at once."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from inbox.commands.failures import Failure


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """Bound, and not yet listening: who connects too early is refused, and tries again. Raises ``Failure``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's delay off only where it reads IPPROTO_TCP.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise _failure(host, port, error) from None
        yield listener


def url_of(listener: socket.socket) -> str:
    """How somebody on this machine reaches it."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{reachable}:{port}"


def _failure(host: str, port: int, error: OSError) -> Failure:
    match error.errno:
        case errno.EADDRINUSE:
            return Failure(f"port {port} of {host} is in use", "stop the other program, or choose a port with --port")
        case errno.EACCES:
            return Failure(f"port {port} needs more rights", "choose a port above 1023 with --port")
        case _:
            return Failure(f"{host} is no address of this machine ({error.strerror})", "choose one with --host")
