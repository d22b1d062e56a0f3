"""The SQL of where a conversation with a contact could begin."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from inbox.kernel.database import UnitOfWork


async def enabled_channels(
    unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID], kinds: Sequence[str]
) -> list[tuple[UUID, str]]:
    """Those of these ids or kinds, with their health, in the order of their connection."""
    found = await unit.fetch(
        """SELECT id, health FROM channels WHERE workspace_id = $1 AND state = 'enabled'
           AND (id = ANY($2::uuid[]) OR kind = ANY($3::text[])) ORDER BY id""",
        workspace_id,
        list(ids),
        list(kinds),
    )
    return [(row[0], row[1]) for row in found]


async def known_channels(unit: UnitOfWork, workspace_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    found = await unit.fetch(
        "SELECT id FROM channels WHERE workspace_id = $1 AND id = ANY($2)", workspace_id, list(ids)
    )
    return {row[0] for row in found}


async def find_identity(
    unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, provider: str, scopes: Sequence[str]
) -> UUID | None:
    """Whom a channel would write to: the contact at its provider, under an address of one of these scopes."""
    found: UUID | None = await unit.fetchval(
        """SELECT i.id FROM identities i WHERE i.workspace_id = $1 AND i.contact_id = $2 AND i.provider = $3
             AND NOT i.is_group AND EXISTS (
               SELECT FROM addresses a WHERE a.workspace_id = $1 AND a.identity_id = i.id AND a.retired_at IS NULL
                 AND a.scope = ANY($4))
           ORDER BY i.unreachable IS NOT NULL, i.id LIMIT 1""",
        workspace_id,
        contact_id,
        provider,
        list(scopes),
    )
    return found


async def conversations_by_channel(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> dict[UUID, UUID]:
    found = await unit.fetch(
        "SELECT channel_id, id FROM conversations WHERE workspace_id = $1 AND contact_id = $2 ORDER BY id",
        workspace_id,
        contact_id,
    )
    return {row[0]: row[1] for row in found}
