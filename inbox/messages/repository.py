"""All SQL about messages, their versions and reactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from inbox.kernel.database import UnitOfWork
from inbox.media.schemas import MediaView
from inbox.messages.schemas import AuthorView, FaultView, MessageVersion, MessageView, OriginView, ReactionView


@dataclass(frozen=True, slots=True)
class ExternalRef:
    """What stands behind a provider's id: a message it told us of, or one of our deliveries."""

    channel_id: UUID
    external_id: str
    message_id: UUID
    conversation_id: UUID
    delivery_id: UUID | None


async def find_external(
    unit: UnitOfWork, workspace_id: UUID, ids: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], ExternalRef]:
    """Look up (channel, external id) pairs among messages and deliveries."""
    if not ids:
        return {}
    found = await unit.fetch(
        FIND_EXTERNAL, workspace_id, [channel_id for channel_id, _ in ids], [external_id for _, external_id in ids]
    )
    return {(row[0], row[1]): ExternalRef(*row) for row in found}


FIND_EXTERNAL = """
SELECT m.channel_id, m.external_id, m.id, m.conversation_id, NULL::uuid
FROM unnest($2::uuid[], $3::text[]) AS w (channel_id, external_id)
JOIN messages m ON m.workspace_id = $1 AND m.channel_id = w.channel_id AND m.external_id = w.external_id
UNION ALL
SELECT d.channel_id, d.external_id, d.message_id, d.conversation_id, d.id
FROM unnest($2::uuid[], $3::text[]) AS w (channel_id, external_id)
JOIN deliveries d ON d.workspace_id = $1 AND d.channel_id = w.channel_id AND d.external_id = w.external_id
"""


async def find_in_albums(
    unit: UnitOfWork, workspace_id: UUID, ids: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], ExternalRef]:
    """The same among the ids that the other files of our albums have; apart, for they are rarely spoken of."""
    if not ids:
        return {}
    found = await unit.fetch(
        FIND_IN_ALBUMS, workspace_id, [channel_id for channel_id, _ in ids], [external_id for _, external_id in ids]
    )
    return {(row[0], row[1]): ExternalRef(*row) for row in found}


FIND_IN_ALBUMS = """
SELECT d.channel_id, w.external_id, d.message_id, d.conversation_id, NULL::uuid
FROM unnest($2::uuid[], $3::text[]) AS w (channel_id, external_id)
JOIN deliveries d ON d.further_ids IS NOT NULL AND d.further_ids @> jsonb_build_array(w.external_id)
WHERE d.workspace_id = $1 AND d.channel_id = w.channel_id
"""


async def conversations_of_deliveries(unit: UnitOfWork, workspace_id: UUID, delivery_ids: Sequence[UUID]) -> list[UUID]:
    """The conversations of those of these deliveries that exist in this workspace."""
    if not delivery_ids:
        return []
    found = await unit.fetch(
        "SELECT DISTINCT conversation_id FROM deliveries WHERE workspace_id = $1 AND id = ANY($2)",
        workspace_id,
        delivery_ids,
    )
    return [row[0] for row in found]


async def find(unit: UnitOfWork, workspace_id: UUID, message_id: UUID, *, lock: bool = False) -> MessageView | None:
    row = await unit.fetchrow(
        f"SELECT {COLUMNS} FROM messages m WHERE m.workspace_id = $1 AND m.id = $2{' FOR UPDATE' if lock else ''}",
        workspace_id,
        message_id,
    )
    return None if row is None else view(row)


async def versions(unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> list[MessageVersion]:
    found = await unit.fetch(
        """SELECT version, parts, replaced_at FROM message_versions
           WHERE workspace_id = $1 AND message_id = $2 ORDER BY version""",
        workspace_id,
        message_id,
    )
    return [MessageVersion(*row) for row in found]


async def find_by_token(
    unit: UnitOfWork, workspace_id: UUID, author_id: UUID, client_token: str
) -> tuple[MessageView, bytes | None] | None:
    """The message that this author sent with this token, and the fingerprint of what it asked for."""
    row = await unit.fetchrow(
        f"""SELECT {COLUMNS}, m.fingerprint FROM messages m
            WHERE m.workspace_id = $1 AND m.author_id = $2 AND m.client_token = $3""",
        workspace_id,
        author_id,
        client_token,
    )
    return None if row is None else (view(row), row["fingerprint"])


async def external_id_of(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID, message_id: UUID) -> str | None:
    """The id under which the provider knows a message of this conversation, if it does."""
    found: str | None = await unit.fetchval(
        """
        SELECT coalesce(m.external_id, (
            SELECT d.external_id FROM deliveries d WHERE d.workspace_id = $1 AND d.message_id = m.id
                AND d.external_id IS NOT NULL ORDER BY d.ordinal LIMIT 1))
        FROM messages m WHERE m.workspace_id = $1 AND m.id = $3 AND m.conversation_id = $2 AND m.unsent_at IS NULL
        """,
        workspace_id,
        conversation_id,
        message_id,
    )
    return found


async def last_inbound_id(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> str | None:
    """External id of the newest message of the customer that is one (taps and notices have ids of our own making)."""
    found: str | None = await unit.fetchval(
        """SELECT external_id FROM messages WHERE workspace_id = $1 AND conversation_id = $2 AND direction = 'in'
           AND external_id NOT LIKE 'callback:%' ORDER BY number DESC LIMIT 1""",
        workspace_id,
        conversation_id,
    )
    return found


async def page(
    unit: UnitOfWork,
    workspace_id: UUID,
    conversation_id: UUID,
    *,
    before: int | None,
    after: int | None,
    limit: int,
) -> list[MessageView]:
    """Oldest first: the ``limit`` messages right after ``after``, or else the newest ones below ``before``."""
    if after is not None:
        found = await unit.fetch(
            f"""SELECT {COLUMNS} FROM messages m WHERE m.workspace_id = $1 AND m.conversation_id = $2 AND m.number > $3
                ORDER BY m.number LIMIT $4""",
            workspace_id,
            conversation_id,
            after,
            limit,
        )
        return [view(row) for row in found]
    found = await unit.fetch(
        f"""SELECT {COLUMNS} FROM messages m WHERE m.workspace_id = $1 AND m.conversation_id = $2
            AND ($3::bigint IS NULL OR m.number < $3) ORDER BY m.number DESC LIMIT $4""",
        workspace_id,
        conversation_id,
        before,
        limit,
    )
    return [view(row) for row in reversed(found)]


async def replace_parts(
    unit: UnitOfWork, workspace_id: UUID, message_id: UUID, parts: bytes, edited_at: datetime
) -> MessageView | None:
    """A new version; the words before it are kept.

    ``None`` when nothing differs, the message was unsent, or a later edit is here already (webhooks are unordered).
    """
    row = await unit.fetchrow(
        f"""
        WITH old AS (
            SELECT id, parts, versions FROM messages
            WHERE workspace_id = $1 AND id = $2 AND parts <> $3::jsonb AND unsent_at IS NULL
              AND (edited_at IS NULL OR edited_at <= $4) FOR UPDATE
        ), kept AS (
            INSERT INTO message_versions (workspace_id, message_id, version, parts, replaced_at)
            SELECT $1, id, versions, parts, $4 FROM old
        )
        UPDATE messages m SET parts = $3::jsonb, versions = m.versions + 1, edited_at = $4 FROM old
        WHERE m.workspace_id = $1 AND m.id = old.id RETURNING {COLUMNS}
        """,
        workspace_id,
        message_id,
        parts,
        edited_at,
    )
    return None if row is None else view(row)


async def unsend(unit: UnitOfWork, workspace_id: UUID, message_id: UUID, at: datetime) -> MessageView | None:
    """Remove the content, of earlier versions too, and leave the mark. ``None`` when it was unsent before."""
    await unit.execute(
        "DELETE FROM message_versions WHERE workspace_id = $1 AND message_id = $2", workspace_id, message_id
    )
    row = await unit.fetchrow(
        f"""UPDATE messages m SET parts = '[]', referral = NULL, unsent_at = $3
            WHERE m.workspace_id = $1 AND m.id = $2 AND m.unsent_at IS NULL RETURNING {COLUMNS}""",
        workspace_id,
        message_id,
        at,
    )
    return None if row is None else view(row)


async def remove_native(
    unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, external_id: str
) -> tuple[UUID, UUID] | None:
    """Take back a message that an echo made, because it is a send of ours. Its (id, conversation), if there was one."""
    row = await unit.fetchrow(
        """DELETE FROM messages WHERE workspace_id = $1 AND channel_id = $2 AND external_id = $3
           AND author_kind = 'native_app' RETURNING id, conversation_id""",
        workspace_id,
        channel_id,
        external_id,
    )
    return None if row is None else (row[0], row[1])


async def react(
    unit: UnitOfWork, workspace_id: UUID, message_id: UUID, actor: str, emoji: str | None, at: datetime
) -> bool:
    """Whether that changed anything. ``emoji`` None takes it back.

    What is older than the stored word of this actor changes nothing (webhooks are unordered). So that this holds for
    what was taken back too, its row stays, with an empty emoji. The caller holds the conversation's lock.
    """
    before = await unit.fetchval(
        "SELECT emoji FROM reactions WHERE workspace_id = $1 AND message_id = $2 AND actor = $3",
        workspace_id,
        message_id,
        actor,
    )
    stored = await unit.fetchval(
        """
        INSERT INTO reactions AS r (workspace_id, message_id, actor, emoji, occurred_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (workspace_id, message_id, actor) DO UPDATE SET emoji = $4, occurred_at = $5
        WHERE r.occurred_at <= $5 RETURNING emoji
        """,
        workspace_id,
        message_id,
        actor,
        emoji or "",
        at,
    )
    return stored is not None and stored != (before or "")


async def conversations_of(unit: UnitOfWork, workspace_id: UUID, message_ids: Sequence[UUID]) -> list[UUID]:
    found = await unit.fetch(
        """SELECT DISTINCT conversation_id FROM messages WHERE workspace_id = $1 AND id = ANY($2)
           ORDER BY conversation_id""",
        workspace_id,
        message_ids,
    )
    return [row[0] for row in found]


async def show_media(
    unit: UnitOfWork, workspace_id: UUID, message_ids: Sequence[UUID], views: Sequence[MediaView]
) -> list[MessageView]:
    """Put these views in place of the former ones, in earlier versions too. Returns the messages, oldest first."""
    given = (workspace_id, message_ids, [str(view.id) for view in views], views)
    await unit.execute(
        f"""
        WITH views AS (SELECT * FROM unnest($3::text[], $4::jsonb[]) AS g (id, view))
        UPDATE message_versions v SET parts = {SHOWN.format(parts="v.parts")}
        WHERE v.workspace_id = $1 AND v.message_id = ANY($2)
        """,
        *given,
    )
    found = await unit.fetch(
        f"""
        WITH views AS (SELECT * FROM unnest($3::text[], $4::jsonb[]) AS g (id, view))
        UPDATE messages m SET parts = {SHOWN.format(parts="m.parts")}
        WHERE m.workspace_id = $1 AND m.id = ANY($2) RETURNING {COLUMNS}
        """,
        *given,
    )
    return sorted((view(row) for row in found), key=lambda message: (message.conversation_id, message.number))


SHOWN = """(
    SELECT coalesce(
        jsonb_agg(CASE WHEN w.id IS NULL THEN p ELSE jsonb_set(p, '{{media}}', w.view) END ORDER BY n), '[]')
    FROM jsonb_array_elements({parts}) WITH ORDINALITY AS e (p, n) LEFT JOIN views w ON w.id = p->'media'->>'id')"""


COLUMNS = """m.id, m.conversation_id, m.channel_id, m.number, m.direction, m.author_kind, m.author_id, m.author_name,
    m.parts, m.status, m.status_at, m.fault, m.reply_to_id, m.forwarded, m.referral, m.album,
    (SELECT jsonb_agg(jsonb_build_array(r.actor, r.emoji) ORDER BY r.actor) FROM reactions r
     WHERE r.workspace_id = m.workspace_id AND r.message_id = m.id AND r.emoji <> ''),
    m.client_token, m.versions, m.occurred_at, m.created_at, m.edited_at, m.unsent_at,
    m.origin_kind, m.origin_id"""


def view(row: asyncpg.Record) -> MessageView:
    return MessageView(
        id=row[0],
        conversation_id=row[1],
        channel_id=row[2],
        number=row[3],
        direction=row[4],
        author=AuthorView(row[5], row[6], row[7]),
        parts=row[8],
        status=row[9],
        status_at=row[10],
        fault=fault_view(row[11]),
        reply_to_id=row[12],
        forwarded=row[13],
        referral=row[14],
        album=row[15],
        reactions=[ReactionView(actor, emoji) for actor, emoji in row[16] or ()],
        client_token=row[17],
        versions=row[18],
        occurred_at=row[19],
        created_at=row[20],
        edited_at=row[21],
        unsent_at=row[22],
        origin=origin_view(row[23], row[24]),
    )


def origin_view(kind: Any, origin_id: UUID | None) -> OriginView | None:
    return None if origin_id is None else OriginView(kind, origin_id)


def fault_view(stored: dict[str, Any] | None) -> FaultView | None:
    if stored is None:
        return None
    return FaultView(
        stored["code"], stored["reason"], stored.get("provider_code"), bool(stored.get("retryable", False))
    )
