"""Running the simulator: inside a test's event loop on a free port, or as a program of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final

import uvicorn

from channels.simulator.app import create_simulator

OPTIONS: Final[dict[str, Any]] = {"access_log": False, "ws": "none", "timeout_graceful_shutdown": 1}


class _QuietServer(uvicorn.Server):
    """Leaves signals to the process that hosts it."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class SimulatorServer:
    """``async with SimulatorServer() as simulator: simulator.base_url``."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        concurrency: int = 40,
        retry_scale: float = 1.0,
        fetch_links: bool = True,
        loopback_webhooks: bool = True,
    ) -> None:
        # The protocol is named because asyncio switches Nagle's delay off only where it reads IPPROTO_TCP.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self.port: int = self._socket.getsockname()[1]
        self.base_url = f"http://{host}:{self.port}"
        self._app = create_simulator(
            base_url=self.base_url,
            seed=seed,
            concurrency=concurrency,
            retry_scale=retry_scale,
            fetch_links=fetch_links,
            loopback_webhooks=loopback_webhooks,
        )
        self._server: _QuietServer | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def graph_url(self) -> str:
        """In place of https://graph.facebook.com and https://graph.instagram.com."""
        return f"{self.base_url}/graph"

    @property
    def telegram_url(self) -> str:
        """In place of https://api.telegram.org."""
        return self.base_url

    async def start(self) -> None:
        self._server = _QuietServer(uvicorn.Config(self._app, log_config=None, **OPTIONS))  # logs stay the host's
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the simulator did not start")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        self._socket.close()

    async def __aenter__(self) -> SimulatorServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def run(
    host: str = "127.0.0.1",
    port: int = 8090,
    *,
    base_url: str | None = None,
    seed: int = 0,
    concurrency: int = 40,
    retry_scale: float = 1.0,
    fetch_links: bool = True,
    log_level: str = "info",
) -> None:
    """Serve until interrupted. ``base_url`` when the product reaches the simulator under another name."""
    app = create_simulator(
        base_url=base_url or f"http://{host}:{port}",
        seed=seed,
        concurrency=concurrency,
        retry_scale=retry_scale,
        fetch_links=fetch_links,
    )
    with suppress(KeyboardInterrupt):  # uvicorn stops in order and then raises the signal again
        uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level=log_level, **OPTIONS)).run()
