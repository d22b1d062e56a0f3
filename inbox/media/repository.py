"""All SQL about files, their uses and their retention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from channels.content import MediaKind, MediaRef
from inbox.kernel.database import UnitOfWork
from inbox.media.schemas import MediaFault, MediaView


@dataclass(frozen=True, slots=True)
class NewMedia:
    """A file that a message brought. ``ref`` is ``None`` where it must not be kept."""

    id: UUID
    message_id: UUID
    channel_id: UUID
    view: MediaView
    ref: MediaRef | None
    source: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a fetch needs to know."""

    channel_id: UUID
    kind: MediaKind
    state: str
    ref: MediaRef | None
    filename: str | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What serving and sending need to know."""

    store_key: str
    mime_type: str
    size: int
    sha256: bytes
    kind: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about a file while it was stored."""

    store_key: str
    mime_type: str
    size: int
    sha256: bytes
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Access:
    """Whose file this is: an upload is its uploader's until a message uses it."""

    view: MediaView
    uploaded_by: UUID | None
    message_ids: tuple[UUID, ...]


VIEW = """m.id, m.kind, m.state, coalesce(m.mime_type, m.claimed_type), m.size, m.width, m.height, m.duration,
    m.filename, m.fault"""


def view(row: asyncpg.Record) -> MediaView:
    """The first columns of a row are those of ``VIEW``."""
    stored: dict[str, Any] | None = row[9]
    fault = None if stored is None else MediaFault(**stored)
    return MediaView(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], fault)


# --- what messages bring ----------------------------------------------------------------------------------------------


async def insert_many(unit: UnitOfWork, workspace_id: UUID, new: Sequence[NewMedia]) -> None:
    """Files and their uses, in one statement."""
    await unit.execute(
        """
        WITH given AS (
            SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::jsonb[], $8::bytea[],
                $9::text[], $10::bigint[], $11::int[], $12::int[], $13::float8[], $14::text[])
                AS g (id, message_id, channel_id, kind, state, ref, source, claimed_type, size, width, height, duration,
                      filename)
        ), made AS (
            INSERT INTO media (workspace_id, id, channel_id, kind, state, ref, source, claimed_type, size, width,
                height, duration, filename)
            SELECT $1, id, channel_id, kind, state, ref, source, claimed_type, size, width, height, duration, filename
            FROM given
        )
        INSERT INTO media_uses (workspace_id, message_id, media_id) SELECT $1, message_id, id FROM given
        """,
        workspace_id,
        [one.id for one in new],
        [one.message_id for one in new],
        [one.channel_id for one in new],
        [one.view.kind for one in new],
        [one.view.state for one in new],
        [None if one.ref is None else stored_ref(one.ref) for one in new],
        [one.source for one in new],
        [one.view.mime_type for one in new],
        [one.view.size for one in new],
        [one.view.width for one in new],
        [one.view.height for one in new],
        [one.view.duration for one in new],
        [one.view.filename for one in new],
    )


async def of_message(unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> dict[bytes, MediaView]:
    """The files of a message by the digest of where they came from."""
    found = await unit.fetch(
        f"""SELECT {VIEW}, m.source FROM media_uses u JOIN media m ON m.workspace_id = $1 AND m.id = u.media_id
            WHERE u.workspace_id = $1 AND u.message_id = $2 AND m.source IS NOT NULL""",
        workspace_id,
        message_id,
    )
    return {row["source"]: view(row) for row in found}


async def drop_uses(unit: UnitOfWork, workspace_id: UUID, message_ids: Sequence[UUID]) -> list[UUID]:
    """Forget that these messages use files; files that nothing uses any more are marked deleted and returned."""
    await unit.execute(
        """
        WITH mine AS (SELECT DISTINCT media_id FROM media_uses WHERE workspace_id = $1 AND message_id = ANY($2))
        SELECT m.id FROM media m JOIN mine ON m.workspace_id = $1 AND m.id = mine.media_id ORDER BY m.id FOR UPDATE OF m
        """,
        workspace_id,
        message_ids,
    )
    dropped = await unit.fetch(
        "DELETE FROM media_uses WHERE workspace_id = $1 AND message_id = ANY($2) RETURNING media_id",
        workspace_id,
        message_ids,
    )
    gone = await unit.fetch(
        """
        UPDATE media m SET state = 'deleted', ref = NULL, source = NULL, filename = NULL, fault = NULL
        WHERE m.workspace_id = $1 AND m.id = ANY($2) AND m.state <> 'deleted'
          AND NOT EXISTS (SELECT 1 FROM media_uses u WHERE u.workspace_id = $1 AND u.media_id = m.id)
        RETURNING m.id
        """,
        workspace_id,
        sorted({row[0] for row in dropped}),
    )
    return [row[0] for row in gone]


async def keep_until(unit: UnitOfWork, workspace_id: UUID, media_ids: Sequence[UUID], until: datetime) -> bool:
    """``False`` when one of them is not there any more."""
    kept = await unit.fetch(
        """
        UPDATE media m SET used_at = greatest(m.used_at, $3)
        FROM (SELECT id FROM media WHERE workspace_id = $1 AND id = ANY($2) AND state = 'stored' ORDER BY id FOR UPDATE)
             held
        WHERE m.workspace_id = $1 AND m.id = held.id RETURNING m.id
        """,
        workspace_id,
        media_ids,
        until,
    )
    return len(kept) == len(set(media_ids))


async def add_uses(
    unit: UnitOfWork, workspace_id: UUID, media_ids: Sequence[UUID], message_id: UUID, channel_id: UUID
) -> bool:
    """A message takes stored files along. ``False`` when one of them is not there any more."""
    kept = await unit.fetch(
        """
        UPDATE media m SET used_at = greatest(m.used_at, now()), channel_id = coalesce(m.channel_id, $3)
        FROM (SELECT id FROM media WHERE workspace_id = $1 AND id = ANY($2) AND state = 'stored' ORDER BY id FOR UPDATE)
             held
        WHERE m.workspace_id = $1 AND m.id = held.id RETURNING m.id
        """,
        workspace_id,
        media_ids,
        channel_id,
    )
    if len(kept) != len(set(media_ids)):
        return False
    await unit.execute(
        """INSERT INTO media_uses (workspace_id, message_id, media_id) SELECT $1, $2, unnest($3::uuid[])
           ON CONFLICT DO NOTHING""",
        workspace_id,
        message_id,
        sorted(set(media_ids)),
    )
    return True


async def uses(unit: UnitOfWork, workspace_id: UUID, media_ids: Sequence[UUID]) -> list[UUID]:
    """The messages that use any of these files."""
    found = await unit.fetch(
        "SELECT DISTINCT message_id FROM media_uses WHERE workspace_id = $1 AND media_id = ANY($2) ORDER BY 1",
        workspace_id,
        media_ids,
    )
    return [row[0] for row in found]


# --- the life of a file -----------------------------------------------------------------------------------------------


async def find_wanted(unit: UnitOfWork, workspace_id: UUID, media_id: UUID) -> Wanted | None:
    row = await unit.fetchrow(
        "SELECT channel_id, kind, state, ref, filename FROM media WHERE workspace_id = $1 AND id = $2",
        workspace_id,
        media_id,
    )
    if row is None or row[0] is None:
        return None
    return Wanted(row[0], row[1], row[2], None if row[3] is None else MediaRef(**row[3]), row[4])


async def keep(
    unit: UnitOfWork, workspace_id: UUID, media_id: UUID, facts: Facts, filename: str | None
) -> MediaView | None:
    """``None`` when the file is not wanted any more: its message was unsent meanwhile."""
    row = await unit.fetchrow(
        f"""
        UPDATE media m SET state = 'stored', ref = NULL, store_key = $3, mime_type = $4, size = $5, sha256 = $6,
            width = coalesce($7, m.width), height = coalesce($8, m.height), filename = $9, fault = NULL,
            stored_at = now(), used_at = now()
        WHERE m.workspace_id = $1 AND m.id = $2 AND m.state = 'pending' RETURNING {VIEW}
        """,
        workspace_id,
        media_id,
        facts.store_key,
        facts.mime_type,
        facts.size,
        facts.sha256,
        facts.width,
        facts.height,
        filename,
    )
    return None if row is None else view(row)


async def fail(unit: UnitOfWork, workspace_id: UUID, media_id: UUID, fault: MediaFault) -> MediaView | None:
    """``None`` when it is not pending any more."""
    row = await unit.fetchrow(
        f"""UPDATE media m SET state = 'failed', fault = $3 WHERE m.workspace_id = $1 AND m.id = $2
            AND m.state = 'pending' RETURNING {VIEW}""",
        workspace_id,
        media_id,
        asdict(fault),
    )
    return None if row is None else view(row)


async def want_again(unit: UnitOfWork, workspace_id: UUID, media_id: UUID) -> MediaView | None:
    """``None`` when there is nothing to repeat."""
    row = await unit.fetchrow(
        f"""UPDATE media m SET state = 'pending', fault = NULL WHERE m.workspace_id = $1 AND m.id = $2
            AND m.state = 'failed' AND m.ref IS NOT NULL RETURNING {VIEW}""",
        workspace_id,
        media_id,
    )
    return None if row is None else view(row)


async def find_access(unit: UnitOfWork, workspace_id: UUID, media_ids: Sequence[UUID]) -> dict[UUID, Access]:
    found = await unit.fetch(
        f"""
        SELECT {VIEW}, m.uploaded_by, ARRAY(
            SELECT u.message_id FROM media_uses u WHERE u.workspace_id = $1 AND u.media_id = m.id LIMIT 1000)
        FROM media m WHERE m.workspace_id = $1 AND m.id = ANY($2)
        """,
        workspace_id,
        media_ids,
    )
    return {row[0]: Access(view(row), row[10], tuple(row[11])) for row in found}


async def find_stored(unit: UnitOfWork, workspace_id: UUID, media_id: UUID) -> StoredFile | None:
    row = await unit.fetchrow(
        """SELECT store_key, mime_type, size, sha256, kind, filename FROM media
           WHERE workspace_id = $1 AND id = $2 AND state = 'stored'""",
        workspace_id,
        media_id,
    )
    return None if row is None else StoredFile(*row)


async def insert_upload(
    unit: UnitOfWork, workspace_id: UUID, media_id: UUID, kind: MediaKind, uploaded_by: UUID
) -> None:
    """Before its bytes enter the store, so that none are there which no row knows of."""
    await unit.execute(
        """INSERT INTO media (workspace_id, id, kind, state, uploaded_by) VALUES ($1, $2, $3, 'pending', $4)""",
        workspace_id,
        media_id,
        kind,
        uploaded_by,
    )


def stored_ref(ref: MediaRef) -> Mapping[str, object]:
    return {name: value for name, value in asdict(ref).items() if value is not None}
