"""Running kept webhook bodies again: everything in quarantine, one body, or a stretch of time. Idempotent (P2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from inbox.ingest import repository as rows
from inbox.ingest.processor import Processor
from inbox.ingest.repository import RawDelivery, Reason
from inbox.kernel.database import Database

PAGE = 200


class Replay:
    """``progress`` hears after each page how many bodies were run so far."""

    def __init__(self, database: Database, processor: Processor) -> None:
        self._database = database
        self._processor = processor

    async def open_entries(self, workspace_id: UUID | None, *, limit: int) -> list[asyncpg.Record]:
        async with self._database.transaction(readonly=True) as unit:
            return await rows.in_quarantine(unit, workspace_id=workspace_id, limit=limit)

    async def still_open(self, workspace_id: UUID | None) -> int:
        """How many entries are in quarantine now: after a run, what failed again."""
        async with self._database.transaction(readonly=True) as unit:
            return await rows.count_in_quarantine(unit, workspace_id=workspace_id)

    async def quarantined(
        self,
        *,
        reason: Reason | None = None,
        workspace_id: UUID | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Bodies with open entries, oldest first, each once. What fails again is in quarantine again.

        Returns how many ran.
        """
        until = datetime.now(UTC)
        after: tuple[datetime, UUID] | None = None
        count = 0
        while True:
            async with self._database.transaction(readonly=True) as unit:
                bodies = await rows.of_quarantine(
                    unit, after=after, until=until, limit=PAGE, reason=reason, workspace_id=workspace_id
                )
            if not bodies:
                return count
            await self._processor.process(bodies, replay=True)
            after = (bodies[-1].received_at, bodies[-1].id)
            count += len(bodies)
            if progress is not None:
                progress(count)

    async def between(self, since: datetime, until: datetime, *, progress: Callable[[int], None] | None = None) -> int:
        """Every kept body received in [since, until). Returns how many ran."""
        after: tuple[datetime, UUID] | None = None
        count = 0
        while True:
            async with self._database.transaction(readonly=True) as unit:
                bodies: list[RawDelivery] = await rows.kept_between(unit, since, until, after=after, limit=PAGE)
            if not bodies:
                return count
            await self._processor.process(bodies, replay=True)
            after = (bodies[-1].received_at, bodies[-1].id)
            count += len(bodies)
            if progress is not None:
                progress(count)
