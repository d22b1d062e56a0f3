"""The SQL of people's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from inbox.kernel.database import UnitOfWork


async def stale(
    unit: UnitOfWork, workspace_id: UUID, conversation_ids: Sequence[UUID], every: timedelta
) -> list[tuple[UUID, UUID]]:
    """(conversation, identity) of those whose channel was not asked about them for so long; it counts as asked now."""
    found = await unit.fetch(
        """
        WITH wanted AS (
            SELECT v.id, v.identity_id FROM conversations v
            LEFT JOIN avatars a ON a.workspace_id = v.workspace_id AND a.identity_id = v.identity_id
            WHERE v.workspace_id = $1 AND v.id = ANY($2) AND (a.asked_at IS NULL OR a.asked_at < now() - $3::interval)
        ), asked AS (
            INSERT INTO avatars AS a (workspace_id, identity_id, asked_at)
            SELECT DISTINCT ON (identity_id) $1, identity_id, now() FROM wanted ORDER BY identity_id
            ON CONFLICT (workspace_id, identity_id) DO UPDATE SET asked_at = now()
        )
        SELECT id, identity_id FROM wanted ORDER BY identity_id
        """,
        workspace_id,
        conversation_ids,
        every,
    )
    return [(row[0], row[1]) for row in found]


async def same(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, sha256: bytes) -> bool:
    """Whether this is the picture we have; then it counts as used, so that no retention takes it."""
    found = await unit.fetchval(
        """UPDATE media m SET used_at = now() FROM avatars a
           WHERE a.workspace_id = $1 AND a.identity_id = $2 AND m.workspace_id = $1 AND m.id = a.media_id
             AND m.state = 'stored' AND m.sha256 = $3 RETURNING true""",
        workspace_id,
        identity_id,
        sha256,
    )
    return found is not None


async def expect(unit: UnitOfWork, workspace_id: UUID, media_id: UUID, channel_id: UUID) -> None:
    """A file that is about to be stored: should we die meanwhile, upkeep finds it stuck and clears it away."""
    await unit.execute(
        "INSERT INTO media (workspace_id, id, channel_id, kind, state) VALUES ($1, $2, $3, 'image', 'pending')",
        workspace_id,
        media_id,
        channel_id,
    )


async def replace(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, media_id: UUID) -> UUID | None:
    """The former picture, which is not wanted any more."""
    former = await unit.fetchval(
        "SELECT media_id FROM avatars WHERE workspace_id = $1 AND identity_id = $2 FOR UPDATE",
        workspace_id,
        identity_id,
    )
    await unit.execute(
        """INSERT INTO avatars (workspace_id, identity_id, asked_at, media_id) VALUES ($1, $2, now(), $3)
           ON CONFLICT (workspace_id, identity_id) DO UPDATE SET media_id = $3""",
        workspace_id,
        identity_id,
        media_id,
    )
    if former is None:
        return None
    await unit.execute(
        "UPDATE media SET state = 'deleted', ref = NULL WHERE workspace_id = $1 AND id = $2", workspace_id, former
    )
    found: UUID = former
    return found


async def of_contact(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> UUID | None:
    """The picture that was asked for last, of all identities of the contact."""
    found: UUID | None = await unit.fetchval(
        """
        SELECT m.id FROM identities i
        JOIN avatars a ON a.workspace_id = $1 AND a.identity_id = i.id
        JOIN media m ON m.workspace_id = $1 AND m.id = a.media_id AND m.state = 'stored'
        WHERE i.workspace_id = $1 AND i.contact_id = $2 ORDER BY a.asked_at DESC LIMIT 1
        """,
        workspace_id,
        contact_id,
    )
    return found
