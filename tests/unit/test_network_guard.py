"""The guard that keeps tests on this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import network_guard
import pytest
from network_guard import StrayConnection


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", b"localhost", None])
def test_this_machine_is_local(host: object) -> None:
    assert network_guard.is_local(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "localhost.example", b"x"])
def test_elsewhere_is_not_local(host: object) -> None:
    assert not network_guard.is_local(host)


def test_leaving_is_refused_and_noted() -> None:
    with pytest.raises(StrayConnection), socket.socket() as tcp:
        tcp.connect(("192.0.2.1", 80))
    with pytest.raises(StrayConnection), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"?", ("2001:db8::1", 53))
    with pytest.raises(StrayConnection):
        socket.getaddrinfo("graph.example", 443)
    assert len(network_guard.attempts) == 3
    network_guard.attempts.clear()


def test_staying_is_allowed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client.connect(str(tmp_path / "s"))
    socket.getaddrinfo("192.0.2.1", 443)
    assert network_guard.attempts == []
