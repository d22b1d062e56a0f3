"""The SQL of what providers told us that is no message."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from channels.types import JsonValue
from inbox.kernel.database import UnitOfWork
from inbox.kernel.ids import new_id


async def keep(unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, what: str, data: JsonValue) -> None:
    """An event that nobody taught us yet, or that only tells about the channel."""
    await unit.execute(
        "INSERT INTO unsupported_events (workspace_id, id, channel_id, what, data) VALUES ($1, $2, $3, $4, $5)",
        workspace_id,
        new_id(),
        channel_id,
        what,
        data,
    )


async def page(unit: UnitOfWork, workspace_id: UUID, *, after: UUID | None, limit: int) -> list[asyncpg.Record]:
    """Id, channel, what, data, since; newest first, below ``after``."""
    return await unit.fetch(
        """SELECT id, channel_id, what, data, created_at FROM unsupported_events
           WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3""",
        workspace_id,
        after,
        limit,
    )
