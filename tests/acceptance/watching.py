"""An agent's screen: reads the stream through any node, drops, resumes elsewhere, and remembers all it was told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from processes import Api, Installation, ServerProcess

from inbox.realtime.client import ClientEvent, StreamClient


class Watcher:
    """Begins at the position of a snapshot. ``reads`` counts its sockets and those that the client opened anew."""

    def __init__(
        self,
        installation: Installation,
        api: Api,
        snapshot: Mapping[str, Any],
        *,
        wanted: Mapping[str, object] | None = None,
    ) -> None:
        self.events: list[ClientEvent] = []
        self.arrived: dict[str, float] = {}
        """By the text of a message: when its event came, by the monotonic clock."""
        self.notices: list[Mapping[str, Any]] = []
        self.epoch = UUID(snapshot["epoch"])
        self.after = int(snapshot["position"])
        self.wanted = wanted
        self.reads = 0
        self._installation = installation
        self._api = api
        self.client: StreamClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._cursor = self.after

    @property
    def positions(self) -> list[int]:
        return [event.position for event in self.events]

    def connect(self, node: ServerProcess) -> None:
        assert self._task is None
        self.notices.clear()
        self.client = self._installation.stream(
            node,
            self._api,
            epoch=self.epoch,
            after=self._cursor,
            wanted=self.wanted,
            on_notice=self.notices.append,
        )
        self._task = asyncio.create_task(self._read(self.client))

    async def drop(self) -> None:
        """Without a word to the server, wherever reading stands. Raises what the reading raised."""
        if self._task is None or self.client is None:
            return
        task, self._task = self._task, None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self.reads += 1 + self.client.reconnects
        self._cursor = self.client.position or self._cursor

    async def live(self, within: float = 20) -> None:
        """Until this socket was let in."""
        async with asyncio.timeout(within):
            while not any(notice["type"] == "hello" for notice in self.notices):
                await asyncio.sleep(0.02)

    async def until(self, position: int, within: float = 20) -> None:
        """Until the cursor is at least there."""
        assert self.client is not None
        assert self._task is not None
        async with asyncio.timeout(within):
            while (self.client.position or 0) < position:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)

    async def _read(self, client: StreamClient) -> None:
        stream = client.events()
        try:
            async for event in stream:
                self.events.append(event)
                if event.kind == "message.created" and (text := text_of(event.data["message"])) is not None:
                    self.arrived[text] = time.monotonic()
        finally:
            await stream.aclose()


def text_of(message: Mapping[str, Any]) -> str | None:
    parts: Sequence[Mapping[str, Any]] = message["parts"]
    return parts[0].get("text") if parts else None


async def expected(installation: Installation, watcher: Watcher, *, agent: bool = False) -> list[int]:
    """The positions that this watcher may see, from the log itself."""
    wanted = watcher.wanted or {}
    rows = await installation.fetch(
        """SELECT position FROM events WHERE workspace_id = $1 AND position > $2
              AND ($3::text[] IS NULL OR kind = ANY($3)) AND ($4::uuid[] IS NULL OR conversation_id = ANY($4))
              AND (audience = 0 OR NOT $5) ORDER BY position""",
        installation.workspace_id,
        watcher.after,
        wanted.get("kinds"),
        wanted.get("conversation_ids"),
        agent,
    )
    return [row[0] for row in rows]
