"""The SQL of addresses that change hands: given up by one person, taken up by another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from channels.types import Address
from inbox.kernel.database import UnitOfWork


async def release(unit: UnitOfWork, workspace_id: UUID, addresses: Sequence[Address]) -> None:
    """Addresses that were given up, to be claimed anew. What somebody claimed meanwhile stays, and the claim fails."""
    await unit.execute(
        """
        DELETE FROM addresses a USING unnest($2::text[], $3::text[], $4::text[]) AS n (kind, scope, value)
        WHERE a.workspace_id = $1 AND a.kind = n.kind AND a.scope = n.scope AND a.value = n.value
          AND a.retired_at IS NOT NULL
        """,
        workspace_id,
        [address.kind for address in addresses],
        [address.scope for address in addresses],
        [address.value for address in addresses],
    )


async def retire(
    unit: UnitOfWork,
    workspace_id: UUID,
    identity_id: UUID,
    former: Sequence[Address],
    current: Sequence[Address],
    at: datetime,
) -> None:
    """``former`` are the person's no longer since ``at``, but ``current`` are.

    Nothing, where one of ``current`` was given up after that: then this is old news.
    """
    await unit.execute(
        """
        UPDATE addresses a SET retired_at = $9 FROM unnest($3::text[], $4::text[], $5::text[]) AS f (kind, scope, value)
        WHERE a.workspace_id = $1 AND a.identity_id = $2 AND a.kind = f.kind AND a.scope = f.scope
          AND a.value = f.value AND a.retired_at IS NULL
          AND NOT EXISTS (
              SELECT FROM unnest($6::text[], $7::text[], $8::text[]) AS c (kind, scope, value)
              JOIN addresses n ON n.workspace_id = $1 AND n.kind = c.kind AND n.scope = c.scope AND n.value = c.value
              WHERE n.retired_at >= $9 OR n.identity_id <> $2
          )
        """,
        workspace_id,
        identity_id,
        [address.kind for address in former],
        [address.scope for address in former],
        [address.value for address in former],
        [address.kind for address in current],
        [address.scope for address in current],
        [address.value for address in current],
        at,
    )


async def follow_phone(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, identity_id: UUID, phone: str) -> bool:
    """The contact's phone follows, unless a person typed another one. Returns whether it changed."""
    changed = await unit.fetchval(
        """
        UPDATE contacts c SET phone = $4, version = version + 1, updated_at = now()
        WHERE c.workspace_id = $1 AND c.id = $2 AND c.phone IS DISTINCT FROM $4 AND (c.phone IS NULL OR EXISTS (
            SELECT FROM addresses a WHERE a.workspace_id = $1 AND a.identity_id = $3 AND '+' || a.value = c.phone
        ))
        RETURNING 1
        """,
        workspace_id,
        contact_id,
        identity_id,
        phone,
    )
    return changed is not None
