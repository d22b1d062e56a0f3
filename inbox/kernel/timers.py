"""Durable timers: one row for everything that waits, fired in the transaction of its effect.

Invariant: a timer disappears in the commit that holds its effect, or by a cancel that committed first; never both, and
never neither. Which of two clocks, or a clock and a cancel, wins is decided by the lock on the row.

Lock order: timers come before the rows they are about. A transaction that sets or cancels timers does so before it
locks anything a handler of that kind touches; otherwise PostgreSQL has to break the deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, text

from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork
from inbox.kernel.schema import created, json_object, metadata, moment, workspace_id

timers = Table(
    "timers",
    metadata,
    workspace_id(),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    moment("due_at", nullable=False),
    moment("next_at", nullable=False),
    json_object("payload"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    created(),
    CheckConstraint("state IN ('pending', 'failed')", name="state"),
    Index("ix_timers_next", "kind", "next_at", postgresql_where=text("state = 'pending'")),
    Index("ix_timers_failed", "workspace_id", "due_at", postgresql_where=text("state = 'failed'")),
)
"""``due_at``: the promise, from which lateness is told. ``next_at``: when the clock looks; later only after a failure.

A fired timer has no row. ``failed``: the clock gave up; it stands until somebody revives or cancels it."""


@dataclass(frozen=True, slots=True)
class NewTimer:
    """``key`` is unique within the workspace and kind: mostly the id of what the timer is about."""

    workspace_id: UUID
    kind: str
    key: str
    due_at: datetime
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timer:
    workspace_id: UUID
    kind: str
    key: str
    due_at: datetime
    payload: Mapping[str, object]
    attempts: int
    last_error: str | None


async def set_timer(
    unit: UnitOfWork,
    workspace_id: UUID,
    kind: str,
    key: str,
    due_at: datetime,
    payload: Mapping[str, object] | None = None,
) -> None:
    """Set it, or set it anew: a timer of this key that stands (also a failed one) is replaced.

    When a clock is firing the old one at this moment, this waits, and then sets the next. To move a timer only if it
    has not fired, use ``move_timer``.
    """
    await set_timers(unit, [NewTimer(workspace_id, kind, key, due_at, payload or {})])


async def set_timers(unit: UnitOfWork, new: Sequence[NewTimer]) -> None:
    """Many in one statement, locked in the order of their keys. Of two with the same key the last one counts."""
    last = {(one.workspace_id, one.kind, one.key): one for one in new}
    ordered = [last[place] for place in sorted(last)]
    await unit.execute(
        SET,
        [one.workspace_id for one in ordered],
        [one.kind for one in ordered],
        [one.key for one in ordered],
        [one.due_at for one in ordered],
        [one.payload for one in ordered],
    )


async def move_timer(unit: UnitOfWork, workspace_id: UUID, kind: str, key: str, due_at: datetime) -> bool:
    """Give a standing timer another due time. ``False``: there is none, it has fired or was cancelled."""
    return await unit.fetchval(MOVE, workspace_id, kind, key, due_at) is not None


async def cancel_timer(unit: UnitOfWork, workspace_id: UUID, kind: str, key: str) -> bool:
    """``True``: it stood, and with this transaction's commit it never fires. ``False``: it has fired, or never was.

    Waits for a clock that is firing it at this moment, and tells the truth about the outcome.
    """
    return bool(await cancel_timers(unit, workspace_id, kind, [key]))


async def cancel_timers(unit: UnitOfWork, workspace_id: UUID, kind: str, keys: Sequence[str]) -> set[str]:
    """The keys whose timers stood and now never fire."""
    return {row[0] for row in await unit.fetch(CANCEL, workspace_id, kind, sorted(set(keys)))}


async def find_timer(unit: UnitOfWork, workspace_id: UUID, kind: str, key: str) -> Timer | None:
    row = await unit.fetchrow(f"{SELECT} WHERE workspace_id = $1 AND kind = $2 AND key = $3", workspace_id, kind, key)
    return Timer(*row) if row else None


async def find_failed(unit: UnitOfWork, workspace_id: UUID, *, limit: int = 100) -> list[Timer]:
    """Timers that the clock gave up, oldest promise first."""
    found = await unit.fetch(
        f"{SELECT} WHERE workspace_id = $1 AND state = 'failed' ORDER BY due_at, kind, key LIMIT $2",
        workspace_id,
        limit,
    )
    return [Timer(*row) for row in found]


async def count_failed(unit: UnitOfWork, workspace_id: UUID) -> int:
    count: int = await unit.fetchval(
        "SELECT count(*) FROM timers WHERE workspace_id = $1 AND state = 'failed'", workspace_id
    )
    return count


async def failed_by_kind(connection: Connection) -> dict[str, int]:
    """In the whole installation; reads those rows only."""
    found = await connection.fetch("SELECT kind, count(*) FROM timers WHERE state = 'failed' GROUP BY kind")
    return {row[0]: row[1] for row in found}


async def discard_timer(unit: UnitOfWork, workspace_id: UUID, kind: str, key: str) -> bool:
    """Forget a failed timer. ``False``: there is no failed timer of this key."""
    return await unit.fetchval(DISCARD, workspace_id, kind, key) is not None


async def revive_timer(unit: UnitOfWork, workspace_id: UUID, kind: str, key: str) -> bool:
    """Let the clock try a failed timer again, at once. ``False``: there is no failed timer of this key."""
    return await unit.fetchval(REVIVE, workspace_id, kind, key) is not None


SELECT = "SELECT workspace_id, kind, key, due_at, payload, attempts, last_error FROM timers"

SET = """
INSERT INTO timers (workspace_id, kind, key, due_at, next_at, payload)
SELECT workspace_id, kind, key, due_at, due_at, payload
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::jsonb[])
     AS new (workspace_id, kind, key, due_at, payload)
ON CONFLICT (workspace_id, kind, key) DO UPDATE SET due_at = excluded.due_at, next_at = excluded.next_at,
    payload = excluded.payload, state = 'pending', attempts = 0, last_error = NULL
"""

MOVE = """
UPDATE timers SET due_at = $4, next_at = $4, state = 'pending', attempts = 0, last_error = NULL
WHERE workspace_id = $1 AND kind = $2 AND key = $3 RETURNING true
"""

CANCEL = """
WITH standing AS (
    SELECT workspace_id, kind, key FROM timers WHERE workspace_id = $1 AND kind = $2 AND key = ANY($3::text[])
    ORDER BY key FOR UPDATE
)
DELETE FROM timers t USING standing s
WHERE t.workspace_id = s.workspace_id AND t.kind = s.kind AND t.key = s.key RETURNING t.key
"""

REVIVE = """
UPDATE timers SET state = 'pending', attempts = 0, next_at = now()
WHERE workspace_id = $1 AND kind = $2 AND key = $3 AND state = 'failed' RETURNING true
"""

DISCARD = """
DELETE FROM timers WHERE workspace_id = $1 AND kind = $2 AND key = $3 AND state = 'failed' RETURNING true
"""
