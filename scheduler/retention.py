"""What is kept how long: partitions of events and webhook bodies, and small rows that have lost their meaning.

Invariant: a resume below what was dropped is told to start anew, because the floor of each log rises in the transaction
that drops its events; a webhook body that is still pending, or stands in quarantine, is never dropped.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from apscheduler.triggers.interval import IntervalTrigger

from inbox.kernel import partitions
from inbox.kernel.connection import Connection
from inbox.kernel.database import Database
from inbox.kernel.partitions import Partition
from inbox.kernel.settings import Settings
from scheduler.clock import SchedulerClock

log = logging.getLogger(__name__)

BATCH: Final = 1000
MOST_BATCHES: Final = 200
"""Rows that one run leaves behind are for the next one: upkeep never holds the database for long."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Rows of ``table`` that can have no effect any more."""

    table: str
    condition: str


STALE: Final = (
    Stale("tickets", "expires_at < now()"),
    Stale("login_throttle", "updated_at < now() - interval '1 day'"),
    Stale("unsupported_events", "created_at < now() - interval '30 days'"),
    Stale("parked_receipts", "parked_at < now() - interval '30 days'"),
    Stale("quarantine", "released_at < now() - interval '30 days'"),
    Stale(  # what cannot be delivered again needs no memory of its answer
        "workflow_answers",
        "NOT EXISTS (SELECT 1 FROM event_logs l WHERE l.workspace_id = workflow_answers.workspace_id"
        " AND l.epoch = workflow_answers.epoch AND l.floor < workflow_answers.position)",
    ),
    Stale("tokens", "kind = 'session' AND least(expires_at, revoked_at) < now() - interval '7 days'"),
)


async def raise_floors(connection: Connection, partition: Partition) -> None:
    """A client that would resume below what is dropped learns it."""
    await connection.execute(
        f"""
        UPDATE event_logs l SET floor = greatest(l.floor, gone.position)
        FROM (SELECT workspace_id, max(position) AS position FROM {partition.name} GROUP BY workspace_id) gone
        WHERE gone.workspace_id = l.workspace_id
        """
    )


async def has_open_work(connection: Connection, partition: Partition) -> bool:
    """Bodies in it that are pending or in quarantine."""
    found: bool = await connection.fetchval(
        """
        SELECT EXISTS (SELECT 1 FROM pending_deliveries WHERE received_at >= $1 AND received_at < $2)
            OR EXISTS (SELECT 1 FROM quarantine
                       WHERE released_at IS NULL AND raw_received_at >= $1 AND raw_received_at < $2)
        """,
        partition.since,
        partition.until,
    )
    return found


EVENTS: Final = "events"
RAW_DELIVERIES: Final = "raw_deliveries"
SUBSCRIPTION_ATTEMPTS: Final = "subscription_attempts"
SUBSCRIPTION_LOG: Final = timedelta(days=7)


class Retention:
    """The upkeep of what is stored. Harmless on several nodes at once."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._events = timedelta(days=settings.event_retention_days)
        self._raw = timedelta(days=settings.raw_retention_days)

    def add_to(self, clock: SchedulerClock) -> None:
        """Minutes differ from node to node, so that they do not all come at once."""
        clock.add_upkeep("partitions", IntervalTrigger(minutes=10, jitter=60), self.keep_partitions)
        clock.add_upkeep("stale-rows", IntervalTrigger(minutes=15, jitter=120), self.delete_stale)

    async def keep_partitions(self) -> None:
        async with self._database.session() as connection:
            await partitions.ensure(connection)
            tables = {table.table: table for table in partitions.partitioned()}
            await partitions.drop_expired(connection, tables[EVENTS], self._events, dropping=raise_floors)
            await partitions.drop_expired(connection, tables[RAW_DELIVERIES], self._raw, needed=has_open_work)
            await partitions.drop_expired(connection, tables[SUBSCRIPTION_ATTEMPTS], SUBSCRIPTION_LOG)

    async def delete_stale(self) -> None:
        for stale in STALE:
            deleted = await self._delete(stale)
            if deleted:
                log.info("deleted %d rows of %s that had no effect any more", deleted, stale.table)

    async def _delete(self, stale: Stale) -> int:
        total = 0
        for _ in range(MOST_BATCHES):
            async with self._database.session() as connection:
                found = await connection.fetch(
                    f"""DELETE FROM {stale.table} WHERE ctid = ANY(ARRAY(
                            SELECT ctid FROM {stale.table} WHERE {stale.condition} LIMIT $1 FOR UPDATE SKIP LOCKED
                        )) RETURNING 1""",
                    BATCH,
                )
            total += len(found)
            if len(found) < BATCH:
                break
        return total
