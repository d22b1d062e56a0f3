"""Feeds the processor: from memory what this node accepted, from the table what other processes left behind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from inbox.ingest import repository as rows
from inbox.ingest.processor import Processor
from inbox.ingest.repository import RawDelivery
from inbox.kernel.database import Database, DatabaseUnavailable

log = logging.getLogger(__name__)

MOST_PER_BATCH = 256
MOST_WAITING_BYTES = 256 * 1024 * 1024
"""Beyond this in memory, accepted bodies wait in the table alone, and are taken over when their lease has run out."""


class Intake:
    """One loop a process; bodies are processed in the order in which this node accepted them.

    A body whose lease ran out in our memory may be processed by two nodes: harmless, because processing is idempotent.
    """

    def __init__(
        self, database: Database, processor: Processor, *, lease_seconds: float, poll_seconds: float = 1.0
    ) -> None:
        self._database = database
        self._processor = processor
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._queue: list[RawDelivery] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._renewed_at = time.monotonic()
        self._looked_at = time.monotonic()

    def accepted(self, bodies: Sequence[RawDelivery]) -> None:
        if self._bytes < MOST_WAITING_BYTES:
            self._hold(bodies)
        self._wake.set()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def stop(self) -> None:
        """``run`` ends once what is in memory is processed, or the database is gone."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        while not (self._stopping and not self._queue):
            try:
                await self._step()
            except DatabaseUnavailable:
                log.warning("the database is not available; %d accepted webhooks wait", len(self._queue))
                if self._stopping:
                    return
                await asyncio.sleep(0.5)

    def _hold(self, bodies: Sequence[RawDelivery]) -> None:
        self._queue.extend(bodies)
        self._bytes += sum(len(raw.body) for raw in bodies)

    async def _step(self) -> None:
        if self._queue:
            await self._renew()
            batch = self._queue[:MOST_PER_BATCH]
            try:
                await self._processor.process(batch)
            except DatabaseUnavailable:
                raise
            except Exception:
                log.exception("a batch failed; its %d webhooks stay pending for another try", len(batch))
            del self._queue[: len(batch)]
            self._bytes -= sum(len(raw.body) for raw in batch)
        else:
            await self._wait()
        if time.monotonic() - self._looked_at >= self._poll_seconds and not self._stopping:
            await self._take_over()

    async def _wait(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _renew(self) -> None:
        """Under load bodies wait longer than their lease: tell the other nodes that we still have them."""
        now = time.monotonic()
        if now - self._renewed_at < self._lease_seconds / 3:
            return
        self._renewed_at = now
        async with self._database.session() as connection:
            await rows.renew(connection, [raw.id for raw in self._queue], self._lease_seconds)

    async def _take_over(self) -> None:
        """Bodies whose holder is gone, and entries of quarantine that are due for another try."""
        self._looked_at = time.monotonic()
        async with self._database.transaction() as unit:
            left = await rows.take_over(unit, limit=MOST_PER_BATCH, lease_seconds=self._lease_seconds)
        if left:
            log.info("taking over %d webhooks that another process left", len(left))
            here = {raw.id for raw in self._queue}
            self._hold([raw for raw in left if raw.id not in here])
        async with self._database.transaction() as unit:
            due = await rows.take_retries(unit, limit=MOST_PER_BATCH)
        if due:
            await self._processor.process(due, replay=True)
