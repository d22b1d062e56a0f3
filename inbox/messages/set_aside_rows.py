"""All SQL about what blocked contacts send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from inbox.kernel.database import UnitOfWork
from inbox.media.schemas import MediaView
from inbox.messages.repository import FIND_EXTERNAL, SHOWN, ExternalRef
from inbox.messages.set_aside_schemas import SetAsideView


@dataclass(frozen=True, slots=True)
class NewAside:
    """A row to insert. ``parts`` is encoded JSON."""

    id: UUID
    channel_id: UUID
    identity_id: UUID
    external_id: str
    kind: str
    about_id: UUID | None
    author_name: str | None
    parts: bytes
    opens_window: bool
    occurred_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What stands behind the provider's ids: messages and deliveries, and what was set aside (by its id of ours)."""

    shown: dict[tuple[UUID, str], ExternalRef]
    aside: dict[tuple[UUID, str], UUID]


async def find_known(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[tuple[UUID, str]]) -> Known:
    """Look up (channel, external id) pairs wherever they may be: what is in one place never enters the other."""
    known = Known({}, {})
    if not ids:
        return known
    found = await unit.fetch(
        FIND_KNOWN, workspace_id, [channel_id for channel_id, _ in ids], [external_id for _, external_id in ids]
    )
    for row in found:
        if row[3] is None:
            known.aside[row[0], row[1]] = row[2]
        else:
            known.shown[row[0], row[1]] = ExternalRef(*row)
    return known


async def insert_many(unit: UnitOfWork, workspace_id: UUID, new: Sequence[NewAside]) -> list[SetAsideView]:
    """In the order given; without those that are there already."""
    found = await unit.fetch(
        f"""
        WITH s AS (
            INSERT INTO set_aside_messages (workspace_id, id, channel_id, identity_id, external_id, kind, about_id,
                author_name, parts, opens_window, occurred_at, created_at)
            SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
                $8::text[], $9::jsonb[], $10::bool[], $11::timestamptz[], $12::timestamptz[])
            ON CONFLICT (workspace_id, channel_id, external_id) DO NOTHING RETURNING *
        )
        SELECT {COLUMNS} FROM s ORDER BY s.id
        """,
        workspace_id,
        [one.id for one in new],
        [one.channel_id for one in new],
        [one.identity_id for one in new],
        [one.external_id for one in new],
        [one.kind for one in new],
        [one.about_id for one in new],
        [one.author_name for one in new],
        [one.parts for one in new],
        [one.opens_window for one in new],
        [one.occurred_at for one in new],
        [one.created_at for one in new],
    )
    return [view(row) for row in found]


async def replace_parts(
    unit: UnitOfWork, workspace_id: UUID, aside_id: UUID, parts: bytes, edited_at: datetime
) -> SetAsideView | None:
    """``None`` when nothing differs, it was unsent, or a later edit is here already."""
    row = await unit.fetchrow(
        f"""UPDATE set_aside_messages s SET parts = $3::jsonb, edited_at = $4
            WHERE s.workspace_id = $1 AND s.id = $2 AND s.parts <> $3::jsonb AND s.unsent_at IS NULL
              AND (s.edited_at IS NULL OR s.edited_at <= $4) RETURNING {COLUMNS}""",
        workspace_id,
        aside_id,
        parts,
        edited_at,
    )
    return None if row is None else view(row)


async def unsend(unit: UnitOfWork, workspace_id: UUID, message_id: UUID, at: datetime) -> list[SetAsideView]:
    """Remove the content of this one and of all edits of it; also where the message itself stands in a thread."""
    found = await unit.fetch(
        f"""UPDATE set_aside_messages s SET parts = '[]', unsent_at = $3
            WHERE s.workspace_id = $1 AND (s.id = $2 OR s.about_id = $2 AND s.kind = 'edit') AND s.unsent_at IS NULL
            RETURNING {COLUMNS}""",
        workspace_id,
        message_id,
        at,
    )
    return [view(row) for row in found]


async def show_media(
    unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID], views: Sequence[MediaView]
) -> list[SetAsideView]:
    """Put these views of files in place of the former ones."""
    found = await unit.fetch(
        f"""
        WITH views AS (SELECT * FROM unnest($3::text[], $4::jsonb[]) AS g (id, view))
        UPDATE set_aside_messages s SET parts = {SHOWN.format(parts="s.parts")}
        WHERE s.workspace_id = $1 AND s.id = ANY($2) RETURNING {COLUMNS}
        """,
        workspace_id,
        ids,
        [str(one.id) for one in views],
        views,
    )
    return sorted((view(row) for row in found), key=lambda one: one.id)


async def any_of(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> bool:
    """Whether one of these ids is of something that was set aside."""
    found = await unit.fetchval(
        "SELECT EXISTS (SELECT FROM set_aside_messages WHERE workspace_id = $1 AND id = ANY($2))", workspace_id, ids
    )
    return bool(found)


async def identity_of(unit: UnitOfWork, workspace_id: UUID, aside_id: UUID) -> UUID:
    found: UUID = await unit.fetchval(
        "SELECT identity_id FROM set_aside_messages WHERE workspace_id = $1 AND id = $2", workspace_id, aside_id
    )
    return found


async def page(
    unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, *, after: UUID | None, limit: int
) -> list[SetAsideView]:
    """Newest first, below ``after``."""
    found = await unit.fetch(
        f"""SELECT {COLUMNS} FROM set_aside_messages s JOIN identities i
              ON i.workspace_id = s.workspace_id AND i.id = s.identity_id
            WHERE s.workspace_id = $1 AND i.contact_id = $2 AND ($3::uuid IS NULL OR s.id < $3)
            ORDER BY s.id DESC LIMIT $4""",
        workspace_id,
        contact_id,
        after,
        limit,
    )
    return [view(row) for row in found]


async def windows(
    unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID]
) -> dict[tuple[UUID, UUID], datetime]:
    """By (channel, identity): when these contacts last did what opens the provider's window, while it was set aside."""
    found = await unit.fetch(
        """SELECT s.channel_id, s.identity_id, max(s.occurred_at) FROM set_aside_messages s JOIN identities i
             ON i.workspace_id = s.workspace_id AND i.id = s.identity_id
           WHERE s.workspace_id = $1 AND i.contact_id = ANY($2) AND s.opens_window
           GROUP BY s.channel_id, s.identity_id""",
        workspace_id,
        contact_ids,
    )
    return {(row[0], row[1]): row[2] for row in found}


async def follow_identity(unit: UnitOfWork, workspace_id: UUID, losers: Sequence[UUID], survivor: UUID) -> None:
    """These identities were found to be one."""
    await unit.execute(
        "UPDATE set_aside_messages SET identity_id = $3 WHERE workspace_id = $1 AND identity_id = ANY($2)",
        workspace_id,
        losers,
        survivor,
    )


FIND_KNOWN = f"""
{FIND_EXTERNAL}
UNION ALL
SELECT s.channel_id, s.external_id, s.id, NULL, NULL
FROM unnest($2::uuid[], $3::text[]) AS w (channel_id, external_id)
JOIN set_aside_messages s ON s.workspace_id = $1 AND s.channel_id = w.channel_id AND s.external_id = w.external_id
"""

COLUMNS = """s.id,
    (SELECT o.contact_id FROM identities o WHERE o.workspace_id = s.workspace_id AND o.id = s.identity_id),
    s.channel_id, s.kind, s.about_id, s.author_name, s.parts, s.occurred_at, s.created_at, s.edited_at, s.unsent_at"""


def view(row: asyncpg.Record) -> SetAsideView:
    return SetAsideView(*row)
