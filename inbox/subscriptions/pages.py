"""The logs as the subscriptions of one process read them: in aligned pages that all of a workspace share.

Logs are dense and append-only, so a page that was read never changes and one that is not full yet only grows. Equal
reads at the same time are one read; a few run at once, so that they leave connections to others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog, StoredEvent

PAGE_EVENTS: Final = 256
KEPT_BYTES: Final = 32 * 1024 * 1024
READS_AT_ONCE: Final = 2
_OVERHEAD: Final = 400


class HoleInLog(Exception):
    """Retention removed events that were not read yet."""


class _Page:
    """Dense from ``base`` on: what is below was not asked for, and may be gone."""

    __slots__ = ("base", "events", "reading", "size")

    def __init__(self, base: int) -> None:
        self.base = base
        self.events: list[StoredEvent] = []
        self.reading = asyncio.Lock()
        self.size = 0


class Pages:
    def __init__(self, database: Database, event_log: EventLog, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._database = database
        self._event_log = event_log
        self._kept_bytes = kept_bytes
        self._pages: OrderedDict[tuple[UUID, UUID, int], _Page] = OrderedDict()
        self._bytes = 0
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self.reads = 0

    async def after(self, workspace_id: UUID, epoch: UUID, position: int, most: int) -> Sequence[StoredEvent]:
        """The next events behind ``position``, up to the end of a page. Raises ``HoleInLog``, ``Unavailable``."""
        start = position - position % PAGE_EVENTS
        page = self._page((workspace_id, epoch, start), position)
        skip = position - page.base
        if len(page.events) <= skip:
            async with page.reading:
                if len(page.events) <= skip:
                    await self._extend(page, workspace_id, start + PAGE_EVENTS)
        return page.events[skip : skip + most]

    def _page(self, key: tuple[UUID, UUID, int], position: int) -> _Page:
        page = self._pages.get(key)
        if page is None or not page.base <= position <= page.base + len(page.events):
            # Also for who comes from beyond: what lies between was not read, and may be gone by now.
            self._bytes -= page.size if page else 0
            page = self._pages[key] = _Page(position)
        self._pages.move_to_end(key)
        return page

    async def _extend(self, page: _Page, workspace_id: UUID, end: int) -> None:
        known = page.base + len(page.events)
        async with self._reads, self._database.session() as connection:
            self.reads += 1
            found = await self._event_log.read(connection, workspace_id, after=known, upto=end, limit=PAGE_EVENTS)
        if found and found[0].position != known + 1:
            raise HoleInLog
        page.events.extend(found)
        grown = sum(len(event.payload) + _OVERHEAD for event in found)
        page.size += grown
        self._bytes += grown
        while self._bytes > self._kept_bytes and len(self._pages) > 1:
            _, oldest = self._pages.popitem(last=False)
            self._bytes -= oldest.size
            oldest.size = 0
