"""All SQL about bots. Their name, and whether they may act, is their agent's; where events go, their subscription's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork
from inbox.subscriptions.schemas import Reason, State
from scheduler.workflows.schemas import BotView, Mode


@dataclass(frozen=True, slots=True)
class Bot:
    """``url`` is sealed."""

    workspace_id: UUID
    id: UUID
    name: str
    enabled: bool
    subscription_id: UUID
    mode: Mode
    channels: Sequence[UUID] | None
    answer_within: int
    kinds: Sequence[str] | None
    url: bytes = field(repr=False)
    origin: str
    delivery: State
    delivery_reason: Reason | None
    created_at: datetime
    updated_at: datetime | None

    def serves(self, channel_id: UUID) -> bool:
        return self.channels is None or channel_id in self.channels


_SELECT = """
SELECT b.workspace_id, b.id, a.name, a.disabled_at IS NULL, b.subscription_id, b.mode, b.channels, b.answer_within,
    s.kinds, s.url, s.origin, s.state, s.reason, b.created_at, b.updated_at
FROM bots b JOIN agents a ON a.workspace_id = b.workspace_id AND a.id = b.id
JOIN subscriptions s ON s.workspace_id = b.workspace_id AND s.id = b.subscription_id
"""


async def find(connection: Connection, workspace_id: UUID, bot_id: UUID) -> Bot | None:
    row = await connection.fetchrow(f"{_SELECT} WHERE b.workspace_id = $1 AND b.id = $2", workspace_id, bot_id)
    return None if row is None else Bot(*row)


async def hold(unit: UnitOfWork, workspace_id: UUID, bot_id: UUID) -> Bot | None:
    """As it is until this transaction ends: whoever disables or deletes it waits, and finds what it was given."""
    row = await unit.fetchrow(
        f"{_SELECT} WHERE b.workspace_id = $1 AND b.id = $2 FOR SHARE OF b, a", workspace_id, bot_id
    )
    return None if row is None else Bot(*row)


async def lock(unit: UnitOfWork, workspace_id: UUID, bot_id: UUID) -> Bot | None:
    """To change it."""
    row = await unit.fetchrow(
        f"{_SELECT} WHERE b.workspace_id = $1 AND b.id = $2 FOR UPDATE OF b, a", workspace_id, bot_id
    )
    return None if row is None else Bot(*row)


async def first_responders(unit: UnitOfWork, workspace_id: UUID) -> list[Bot]:
    """Bots that take new conversations and that events reach, oldest first; they stay so until the commit."""
    found = await unit.fetch(
        f"""{_SELECT} WHERE b.workspace_id = $1 AND b.mode = 'first_responder' AND a.disabled_at IS NULL
              AND s.state = 'enabled' ORDER BY b.id FOR SHARE OF b, a""",
        workspace_id,
    )
    return [Bot(*row) for row in found]


async def page(connection: Connection, workspace_id: UUID, *, after: UUID | None, limit: int) -> list[Bot]:
    """Oldest first, above ``after``."""
    found = await connection.fetch(
        f"{_SELECT} WHERE b.workspace_id = $1 AND ($2::uuid IS NULL OR b.id > $2) ORDER BY b.id LIMIT $3",
        workspace_id,
        after,
        limit,
    )
    return [Bot(*row) for row in found]


async def insert(
    unit: UnitOfWork,
    workspace_id: UUID,
    bot_id: UUID,
    *,
    subscription_id: UUID,
    mode: Mode,
    channels: Sequence[UUID] | None,
    answer_within: int,
) -> None:
    await unit.execute(
        """INSERT INTO bots (workspace_id, id, subscription_id, mode, channels, answer_within)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        workspace_id,
        bot_id,
        subscription_id,
        mode,
        channels,
        answer_within,
    )


async def update(unit: UnitOfWork, workspace_id: UUID, bot_id: UUID, fields: Mapping[str, object]) -> None:
    """``fields``: mode, channels, answer_within."""
    assignments = "".join(f"{column} = ${n}, " for n, column in enumerate(fields, 3))
    await unit.execute(
        f"""UPDATE bots SET {assignments}version = version + 1, updated_at = now()
            WHERE workspace_id = $1 AND id = $2""",
        workspace_id,
        bot_id,
        *fields.values(),
    )


async def delete(unit: UnitOfWork, workspace_id: UUID, bot_id: UUID) -> None:
    await unit.execute("DELETE FROM bots WHERE workspace_id = $1 AND id = $2", workspace_id, bot_id)


async def is_untold(unit: UnitOfWork, workspace_id: UUID, bot_id: UUID, conversation_id: UUID) -> bool:
    """Whether a message of this conversation was not yet sent to the bot, or nobody knows whether it was, by our fault.

    What its address refused or let wait is its own. An attempt that a crash interrupted has left no entry in the log.
    """
    found = await unit.fetch(
        """
        SELECT s.id, e.position, e.created_at
        FROM bots b
        JOIN subscriptions s ON s.workspace_id = b.workspace_id AND s.id = b.subscription_id
        LEFT JOIN subscription_lanes l
            ON l.workspace_id = s.workspace_id AND l.subscription_id = s.id AND l.lane = $3 AND l.upto IS NULL
        JOIN events e ON e.workspace_id = s.workspace_id AND e.conversation_id = $3
            AND e.position >= coalesce(l.position, s.cursor + 1) AND e.kind = 'message.created' AND e.holder_id = b.id
        WHERE b.workspace_id = $1 AND b.id = $2 AND s.state = 'enabled' AND NOT s.stalled AND s.failing_since IS NULL
          AND coalesce(l.attempts, 0) = 0
        ORDER BY e.position
        """,
        workspace_id,
        bot_id,
        conversation_id,
    )
    if not found:
        return False
    tried: int = await unit.fetchval(
        """SELECT count(DISTINCT position) FROM subscription_attempts
           WHERE workspace_id = $1 AND subscription_id = $2 AND attempted_at >= $3 AND position = ANY($4::bigint[])""",
        workspace_id,
        found[0]["id"],
        found[0]["created_at"],
        [row["position"] for row in found],
    )
    return tried < len(found)


async def unknown_channels(unit: UnitOfWork, workspace_id: UUID, channel_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these that are no channels of the workspace."""
    found = await unit.fetch(
        "SELECT id FROM channels WHERE workspace_id = $1 AND id = ANY($2)", workspace_id, channel_ids
    )
    return set(channel_ids) - {UUID(str(row[0])) for row in found}


def view(bot: Bot, url: str | None = None) -> BotView:
    return BotView(
        id=bot.id,
        name=bot.name,
        enabled=bot.enabled,
        mode=bot.mode,
        channels=bot.channels,
        answer_within=bot.answer_within,
        kinds=bot.kinds,
        url=url,
        origin=bot.origin,
        subscription_id=bot.subscription_id,
        delivery=bot.delivery,
        delivery_reason=bot.delivery_reason,
        created_at=bot.created_at,
        updated_at=bot.updated_at,
    )
