"""The life of a server process: migrate, start, serve, finish; and keep the embedded PostgreSQL alive meanwhile.

The event loop runs in the main thread, so PostgreSQL, which has to be started there, is restarted from a callback of
the loop: nothing else could be answered in these moments anyway.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

import uvicorn

from inbox.app import create_app
from inbox.commands.installation import OpenDatabase
from inbox.commands.listening import url_of
from inbox.kernel.migrate import upgrade
from inbox.kernel.postgres import EmbeddedPostgres, PostgresUnavailable
from inbox.kernel.settings import Settings
from inbox.realtime.server import UVICORN_OPTIONS
from inbox.runtime import Runtime

log = logging.getLogger("inbox")

COLLECT_AFTER = 50_000
"""Allocations between collections: with what was loaded at the start frozen, p99 falls to a fifth."""
SECONDS_FOR_ANSWERS = 10
LOOK_SECONDS = 0.5
LONGEST_PAUSE = 30.0
HURRIED = 130


class _Server(uvicorn.Server):
    """uvicorn's, told what happens: signals are ours, and long polls have to end before it waits for answers."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """uvicorn raises them again in the end, which would kill us before PostgreSQL is stopped."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


class Service:
    """One run. ``started`` is when the process began, by the monotonic clock."""

    def __init__(
        self, settings: Settings, database: OpenDatabase, listener: socket.socket, *, started: float, migrate: bool
    ) -> None:
        self._settings = settings
        self._database = database
        self._listener = listener
        self._started = started
        self._migrate = migrate
        self._signals: list[int] = []
        self._hurry = asyncio.Event()
        self._server: _Server | None = None

    def run(self) -> int:
        """The exit code. Raises what keeps it from starting, as `failures` knows it."""
        loop_factory = uvicorn.Config("inbox", log_config=None).get_loop_factory()
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(self._run())

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        work = loop.create_task(self._serve(), name="serve")
        hurry = loop.create_task(self._hurry.wait(), name="hurry")
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number, work)
        await asyncio.wait([work, hurry], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return HURRIED  # the runner cancels what is left
        if work.cancelled():
            return 128 + self._signals[0]
        work.result()
        return 0

    def _stop(self, number: int, work: asyncio.Task[None]) -> None:
        """First: finish what was accepted. Second: at once, which loses nothing either, but lets others wait."""
        self._signals.append(number)
        if len(self._signals) > 1:
            self._hurry.set()
        elif self._server is None:
            work.cancel()  # not serving yet
        else:
            log.info("stopping; what was accepted is finished first")
            self._server.should_exit = True

    async def _serve(self) -> None:
        if self._migrate:
            await upgrade(self._database.dsn)
        runtime = Runtime(self._settings, self._database.dsn)
        app = create_app(runtime)
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SECONDS_FOR_ANSWERS,
            **UVICORN_OPTIONS,
        )
        # Entered here and not by uvicorn, which would turn what is wrong into a traceback.
        async with app.router.lifespan_context(app):
            self._server = _Server(config, ready=self._announce, stopping=partial(_end_long_polls, runtime))
            keeper = asyncio.create_task(self._keep_postgres(), name="postgres keeper")
            try:
                await self._server.serve(sockets=[self._listener])
            finally:
                keeper.cancel()

    def _announce(self) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 20, 50)
        log.info(
            "ready at %s after %.1f s",
            url_of(self._listener),
            time.monotonic() - self._started,
            extra={"pid": os.getpid(), "roles": ",".join(self._settings.roles)},
        )

    # --- the embedded PostgreSQL --------------------------------------------------------------------------------------

    async def _keep_postgres(self) -> None:
        pause = LOOK_SECONDS
        while self._database.server is not None:
            await asyncio.sleep(pause)
            if self._database.server.running:
                pause = LOOK_SECONDS
            else:
                pause = LOOK_SECONDS if self._revive(self._database.server) else min(pause * 2, LONGEST_PAUSE)

    def _revive(self, server: EmbeddedPostgres) -> bool:
        log.error("the embedded PostgreSQL (process %d) ended by itself and is started again", server.pid)
        try:
            if server.attached:  # its owner is gone with it: now it is ours
                folder, binaries = self._settings.data_folder, self._settings.postgres_binaries
                self._database.server = EmbeddedPostgres.start(folder, binaries=binaries)
            else:
                server.restart()
        except PostgresUnavailable as error:
            log.error("it does not start: %s", error)
            return False
        log.info("the embedded PostgreSQL runs again")
        return True


def _end_long_polls(runtime: Runtime) -> None:
    """They answer with what they have; otherwise each would keep us until its time is over."""
    runtime.hub.stopping = True
    for wake in tuple(runtime.hub.on_stop):
        wake()
