"""SQL about files whose time is over, and files that were given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork
from inbox.media.repository import VIEW, view
from inbox.media.schemas import MediaView, RetentionView

UNSENT_DAYS: Final = 7
"""How long an upload waits to be sent."""
STUCK: Final = "1 hour"
"""A file that is pending this long without a job has lost it."""


@dataclass(frozen=True, slots=True)
class Due:
    workspace_id: UUID
    id: UUID
    used_at: datetime


async def overdue(connection: Connection, default_days: int | None, limit: int) -> list[Due]:
    """Stored files beyond the retention of their channel, and uploads that nobody sent."""
    found = await connection.fetch(
        """
        (SELECT c.workspace_id, old.id, old.used_at
         FROM channels c LEFT JOIN media_retention r ON r.workspace_id = c.workspace_id AND r.channel_id = c.id
         CROSS JOIN LATERAL (
            SELECT m.id, m.used_at FROM media m
            WHERE m.workspace_id = c.workspace_id AND m.channel_id = c.id AND m.state = 'stored'
              AND m.used_at < now() - make_interval(days => CASE WHEN r.channel_id IS NULL THEN $1 ELSE r.days END)
            ORDER BY m.used_at LIMIT $2) old
         LIMIT $2)
        UNION ALL
        (SELECT w.id, old.id, old.used_at FROM workspaces w CROSS JOIN LATERAL (
            SELECT m.id, m.used_at FROM media m
            WHERE m.workspace_id = w.id AND m.channel_id IS NULL AND m.state = 'stored'
              AND m.used_at < now() - make_interval(days => $3)
            ORDER BY m.used_at LIMIT $2) old
         LIMIT $2)
        """,
        default_days,
        limit,
        UNSENT_DAYS,
    )
    return [Due(*row) for row in found]


async def expire(unit: UnitOfWork, due: Due) -> MediaView | None:
    """``None`` when it was sent again, or deleted, since it was found."""
    row = await unit.fetchrow(
        f"""UPDATE media m SET state = 'expired' WHERE m.workspace_id = $1 AND m.id = $2 AND m.state = 'stored'
            AND m.used_at = $3 RETURNING {VIEW}""",
        due.workspace_id,
        due.id,
        due.used_at,
    )
    return None if row is None else view(row)


async def stuck(connection: Connection, queue: str, limit: int) -> list[tuple[UUID, UUID, bool]]:
    """(workspace, file, whether it is an upload) that nothing works on any more."""
    found = await connection.fetch(
        f"""
        SELECT m.workspace_id, m.id, m.uploaded_by IS NOT NULL FROM media m
        WHERE m.state = 'pending' AND m.created_at < now() - interval '{STUCK}' AND NOT EXISTS (
            SELECT 1 FROM jobs j WHERE j.workspace_id = m.workspace_id AND j.queue = $1 AND j.key = m.id::text
            AND j.state <> 'dead')
        ORDER BY m.created_at LIMIT $2
        """,
        queue,
        limit,
    )
    return [(row[0], row[1], row[2]) for row in found]


async def abandon_upload(unit: UnitOfWork, workspace_id: UUID, media_id: UUID) -> bool:
    """An upload that did not end is as if it never was, but for its bytes, which a job deletes."""
    found = await unit.fetchval(
        """UPDATE media SET state = 'deleted' WHERE workspace_id = $1 AND id = $2 AND state = 'pending'
           AND uploaded_by IS NOT NULL RETURNING true""",
        workspace_id,
        media_id,
    )
    return found is not None


async def lock_state(unit: UnitOfWork, workspace_id: UUID, media_id: UUID) -> str | None:
    """Held until the transaction ends: while bytes are deleted, nobody stores them anew."""
    found: str | None = await unit.fetchval(
        "SELECT state FROM media WHERE workspace_id = $1 AND id = $2 FOR UPDATE", workspace_id, media_id
    )
    return found


async def forget_bytes(unit: UnitOfWork, workspace_id: UUID, media_id: UUID) -> None:
    await unit.execute(
        "UPDATE media SET store_key = NULL, sha256 = NULL WHERE workspace_id = $1 AND id = $2", workspace_id, media_id
    )


async def find_retention(
    unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, default_days: int | None
) -> RetentionView | None:
    """``None`` when there is no such channel."""
    row = await unit.fetchrow(
        """SELECT r.channel_id IS NULL, r.days FROM channels c
           LEFT JOIN media_retention r ON r.workspace_id = c.workspace_id AND r.channel_id = c.id
           WHERE c.workspace_id = $1 AND c.id = $2""",
        workspace_id,
        channel_id,
    )
    return None if row is None else RetentionView(channel_id, default_days if row[0] else row[1], row[0])


async def set_retention(unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, days: int | None) -> None:
    await unit.execute(
        """INSERT INTO media_retention (workspace_id, channel_id, days) VALUES ($1, $2, $3)
           ON CONFLICT (workspace_id, channel_id) DO UPDATE SET days = $3""",
        workspace_id,
        channel_id,
        days,
    )


async def clear_retention(unit: UnitOfWork, workspace_id: UUID, channel_ids: Sequence[UUID]) -> None:
    await unit.execute(
        "DELETE FROM media_retention WHERE workspace_id = $1 AND channel_id = ANY($2)", workspace_id, channel_ids
    )
