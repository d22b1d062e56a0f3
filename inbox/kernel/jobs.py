"""Durable jobs: work that follows a commit and talks to the world, so it cannot be part of the transaction.

Invariant: a job that was committed is run to its end at least once, or stands visible as dead. At any time one worker
holds it: whoever holds the lease; a worker whose lease ran out can neither finish nor fail it any more. Handlers must
therefore be idempotent, and do their I/O outside of transactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, text

from inbox.kernel.connection import Connection
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.ids import new_id
from inbox.kernel.schema import created, identifier, json_object, metadata, moment, workspace_id
from inbox.kernel.wakeup import Wakeup

TOPIC: Final = "jobs"
MAX_ATTEMPTS: Final = 10

jobs = Table(
    "jobs",
    metadata,
    workspace_id(),
    identifier(),
    Column("queue", Text, nullable=False),
    Column("key", Text),
    json_object("payload"),
    Column("state", Text, nullable=False, server_default="queued"),
    moment("run_at", nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("max_attempts", Integer, nullable=False),
    Column("asked", Integer, nullable=False, server_default=text("1")),
    moment("leased_until"),
    Column("worker", Text),
    Column("last_error", Text),
    created(),
    CheckConstraint("state IN ('queued', 'running', 'dead')", name="state"),
    CheckConstraint("state <> 'running' OR (leased_until IS NOT NULL AND worker IS NOT NULL)", name="running_leased"),
    Index(
        "uq_jobs_key",
        "workspace_id",
        "queue",
        "key",
        unique=True,
        postgresql_where=text("key IS NOT NULL AND state <> 'dead'"),
    ),
    Index("ix_jobs_due", "queue", "run_at", postgresql_where=text("state = 'queued'")),
    Index("ix_jobs_lease", "leased_until", postgresql_where=text("state = 'running'")),
    Index("ix_jobs_dead", "workspace_id", "created_at", postgresql_where=text("state = 'dead'")),
)
"""A finished job has no row. ``asked`` counts how often a keyed job was asked for: a job that is asked for again while
it runs is run again, because its run may have read what was there before."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """``key``: at most one job of this key waits in the queue. ``run_at``: not before; unset, at once."""

    workspace_id: UUID
    queue: str
    payload: Mapping[str, object] = field(default_factory=dict)
    key: str | None = None
    run_at: datetime | None = None
    max_attempts: int = MAX_ATTEMPTS


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a job. ``attempts`` counts it too; ``asked`` and ``lease`` say what it answers and what it holds."""

    workspace_id: UUID
    id: UUID
    queue: str
    key: str | None
    payload: Mapping[str, object]
    attempts: int
    max_attempts: int
    asked: int
    lease: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeadJob:
    workspace_id: UUID
    id: UUID
    queue: str
    key: str | None
    payload: Mapping[str, object]
    attempts: int
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """``oldest``: seconds that the longest overdue job of this queue has been waiting."""

    queue: str
    queued: int
    running: int
    dead: int
    oldest: float


class Jobs:
    """The way into the queues: inside the caller's transaction, so that a job exists exactly when its cause does."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup

    async def enqueue(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        queue: str,
        payload: Mapping[str, object],
        *,
        key: str | None = None,
        run_at: datetime | None = None,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> None:
        """With a ``key`` that waits already: that job takes the new payload and the earlier of both times."""
        await self.enqueue_all(unit, [NewJob(workspace_id, queue, payload, key, run_at, max_attempts)])

    async def enqueue_all(self, unit: UnitOfWork, new: Sequence[NewJob]) -> None:
        """Many in one statement, locked in the order of their keys. Of two with the same key the last one counts."""
        keyed = {(one.workspace_id, one.queue, one.key): one for one in new if one.key is not None}
        wanted = [one for one in new if one.key is None] + [keyed[place] for place in sorted(keyed)]
        if not wanted:
            return
        await unit.execute(
            ENQUEUE,
            [one.workspace_id for one in wanted],
            [new_id() for _ in wanted],
            [one.queue for one in wanted],
            [one.key for one in wanted],
            [one.payload for one in wanted],
            [one.run_at for one in wanted],
            [one.max_attempts for one in wanted],
        )
        unit.after_commit(self._wake)

    async def find_dead(self, unit: UnitOfWork, workspace_id: UUID, *, limit: int = 100) -> list[DeadJob]:
        """Jobs that were given up, oldest first."""
        found = await unit.fetch(FIND_DEAD, workspace_id, limit)
        return [DeadJob(*row) for row in found]

    async def find_dead_one(self, unit: UnitOfWork, workspace_id: UUID, job_id: UUID) -> DeadJob | None:
        """Locked, so that it stays dead until the transaction has decided about it."""
        row = await unit.fetchrow(FIND_DEAD_ONE, workspace_id, job_id)
        return DeadJob(*row) if row else None

    async def revive(self, unit: UnitOfWork, workspace_id: UUID, job_id: UUID) -> bool:
        """Queue a dead job again, with all its attempts. ``False``: it is not dead, or a job of its key waits anyway.

        Raises ``Contended`` when such a job was queued in the same moment.
        """
        try:
            revived = await unit.fetchval(REVIVE, workspace_id, job_id)
        except asyncpg.UniqueViolationError as error:
            raise Contended from error
        if revived is None:
            return False
        unit.after_commit(self._wake)
        return True

    async def discard(self, unit: UnitOfWork, workspace_id: UUID, job_id: UUID) -> bool:
        """Forget a dead job. ``False``: it is not dead."""
        return await unit.fetchval(DISCARD, workspace_id, job_id) is not None

    def _wake(self) -> None:
        self._wakeup.publish(TOPIC)


async def backlog(connection: Connection) -> list[Backlog]:
    """What stands in each queue of the installation; counts every row, so ask once in a while."""
    return [Backlog(*row) for row in await connection.fetch(BACKLOG)]


async def count_dead(unit: UnitOfWork, workspace_id: UUID) -> int:
    count: int = await unit.fetchval(
        "SELECT count(*) FROM jobs WHERE workspace_id = $1 AND state = 'dead'", workspace_id
    )
    return count


async def dead_by_queue(connection: Connection) -> dict[str, int]:
    """In the whole installation; reads those rows only."""
    found = await connection.fetch("SELECT queue, count(*) FROM jobs WHERE state = 'dead' GROUP BY queue")
    return {row[0]: row[1] for row in found}


ENQUEUE = """
INSERT INTO jobs AS standing (workspace_id, id, queue, key, payload, run_at, max_attempts)
SELECT workspace_id, id, queue, key, payload, coalesce(run_at, now()), max_attempts
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[], $7::int[])
     AS new (workspace_id, id, queue, key, payload, run_at, max_attempts)
ON CONFLICT (workspace_id, queue, key) WHERE key IS NOT NULL AND state <> 'dead' DO UPDATE
SET payload = excluded.payload, max_attempts = excluded.max_attempts, asked = standing.asked + 1,
    attempts = CASE standing.state WHEN 'queued' THEN 0 ELSE standing.attempts END,
    run_at = CASE standing.state WHEN 'queued' THEN least(standing.run_at, excluded.run_at) ELSE excluded.run_at END
"""

FIND_DEAD = """
SELECT workspace_id, id, queue, key, payload, attempts, last_error, created_at FROM jobs
WHERE workspace_id = $1 AND state = 'dead' ORDER BY created_at, id LIMIT $2
"""

FIND_DEAD_ONE = """
SELECT workspace_id, id, queue, key, payload, attempts, last_error, created_at FROM jobs
WHERE workspace_id = $1 AND id = $2 AND state = 'dead' FOR UPDATE
"""

REVIVE = """
UPDATE jobs j SET state = 'queued', attempts = 0, run_at = now()
WHERE j.workspace_id = $1 AND j.id = $2 AND j.state = 'dead' AND NOT EXISTS (
    SELECT 1 FROM jobs other WHERE other.workspace_id = j.workspace_id AND other.queue = j.queue AND other.key = j.key
    AND other.key IS NOT NULL AND other.state <> 'dead')
RETURNING true
"""

DISCARD = "DELETE FROM jobs WHERE workspace_id = $1 AND id = $2 AND state = 'dead' RETURNING true"

BACKLOG = """
SELECT queue, count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running'),
       count(*) FILTER (WHERE state = 'dead'),
       greatest(0, coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'queued')), 0))::float8
FROM jobs GROUP BY queue ORDER BY queue
"""
