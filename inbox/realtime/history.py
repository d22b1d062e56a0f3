"""Older parts of the logs, read in aligned pages that readers share: a thousand who come back cost a few queries.

Committed events never change, so pages are kept (bounded in bytes); equal reads at the same time are one read, and only
a few reads run at once, so that live traffic keeps its connections.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, TypeAlias
from uuid import UUID

from inbox.kernel.database import Database
from inbox.kernel.errors import Unavailable
from inbox.kernel.eventlog import EventLog
from inbox.realtime.protocol import EncodedEvent

PAGE_EVENTS: Final = 256
KEPT_BYTES: Final = 16 * 1024 * 1024
READS_AT_ONCE: Final = 2

Page: TypeAlias = list[EncodedEvent]
_Key: TypeAlias = tuple[UUID, UUID, int, int]


class History:
    def __init__(
        self,
        database: Database,
        event_log: EventLog,
        *,
        kept_bytes: int = KEPT_BYTES,
        reads_at_once: int = READS_AT_ONCE,
    ) -> None:
        self._database = database
        self._event_log = event_log
        self._kept_bytes = kept_bytes
        self._reads = asyncio.Semaphore(reads_at_once)
        self._pages: OrderedDict[_Key, Page] = OrderedDict()
        self._bytes = 0
        self._reading: dict[_Key, asyncio.Task[Page]] = {}
        self.reads = 0

    async def after(self, workspace_id: UUID, epoch: UUID, position: int, upto: int) -> Page:
        """The events behind ``position`` up to the end of its page, none above ``upto``, all of which are committed.

        May have lost its first to retention. Raises ``Unavailable``.
        """
        start = position - position % PAGE_EVENTS
        end = min(start + PAGE_EVENTS, upto)
        key = (workspace_id, epoch, start, end)
        page = self._pages.get(key)
        if page is None:
            page = await self._shared(key)
        else:
            self._pages.move_to_end(key)
        return [event for event in page if event.position > position] if position > start else page

    async def _shared(self, key: _Key) -> Page:
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._read(key), name="history page")
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        # Whoever asked first may go away; the others still wait for the same read.
        return await asyncio.shield(reading)

    async def _read(self, key: _Key) -> Page:
        workspace_id, _, start, end = key
        async with self._reads:
            self.reads += 1
            try:
                async with self._database.session() as connection:
                    stored = await self._event_log.read(
                        connection, workspace_id, after=start, upto=end, limit=PAGE_EVENTS
                    )
            except Unavailable:
                raise
            except Exception as error:
                raise Unavailable("the event log cannot be read now", retry_after=1) from error
        page = [EncodedEvent(event) for event in stored]
        self._keep(key, page)
        return page

    def _keep(self, key: _Key, page: Page) -> None:
        self._pages[key] = page
        self._bytes += _size(page)
        while self._bytes > self._kept_bytes:
            _, oldest = self._pages.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(page: Page) -> int:
    return sum(event.size for event in page)
