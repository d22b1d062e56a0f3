"""Carries small notices that nobody stores (typing, presence) to the other nodes: best effort, and never in the way.

One connection of its own both listens and notifies. Notices are joined for some milliseconds into one NOTIFY of less
than PostgreSQL's 8000 bytes; what does not fit the bounded queue, or falls into a lost connection, is simply gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import asyncpg

PG_CHANNEL: Final = "inbox_notices"
MOST_BYTES: Final = 7900
JOIN_SECONDS: Final = 0.02
MOST_WAITING: Final = 2000
AGAIN_SECONDS: Final = 2.0

log = logging.getLogger(__name__)

Receiver = Callable[[str], None]


class Relay(Protocol):
    def publish(self, notice: str) -> None:
        """Hand one line of text to the other nodes; not to this one."""
        ...

    def subscribe(self, receive: Receiver) -> None: ...


class PostgresRelay:
    def __init__(self, dsn: str, node: str) -> None:
        self._dsn = dsn
        self._node = node
        self._receivers: list[Receiver] = []
        self._waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self._something = asyncio.Event()
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def publish(self, notice: str) -> None:
        if len(notice.encode()) < MOST_BYTES - 100 and "\n" not in notice:
            self._waiting.append(notice)
            self._something.set()

    def subscribe(self, receive: Receiver) -> None:
        self._receivers.append(receive)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="notice relay")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def listening(self) -> None:
        await self._listening.wait()

    async def _run(self) -> None:
        while True:
            connection: asyncpg.Connection[asyncpg.Record] | None = None
            try:
                connection = await asyncpg.connect(
                    self._dsn, timeout=5, command_timeout=5, server_settings={"application_name": "inbox-notices"}
                )
                await connection.add_listener(PG_CHANNEL, self._received)
                self._listening.set()
                await self._serve(connection)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.info("typing and presence stay on this node for now (%s)", type(error).__name__)
            finally:
                self._listening.clear()
                if connection is not None:
                    connection.terminate()
            self._waiting.clear()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _serve(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._something.wait(), 15)
            if not self._waiting:
                await connection.execute("SELECT 1")  # a connection that died without a word is found only by asking
                continue
            await asyncio.sleep(JOIN_SECONDS)
            while self._waiting:
                await connection.execute("SELECT pg_notify($1, $2)", PG_CHANNEL, self._next_batch())
            self._something.clear()

    def _next_batch(self) -> str:
        lines, size = [self._node], len(self._node)
        while self._waiting:
            size += len(self._waiting[0].encode()) + 1
            if size > MOST_BYTES:
                break
            lines.append(self._waiting.popleft())
        return "\n".join(lines)

    def _received(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        node, *notices = str(payload).split("\n")
        if node == self._node:
            return
        for notice in notices:
            for receive in self._receivers:
                try:
                    receive(notice)
                except Exception:
                    log.exception("a notice of another node was not understood")
