"""The SQL of blocks: of a contact, and of a person at the provider itself.

Whoever changes a block holds the row of the contact (``find`` with ``lock``): inbound messages hold it against that for
the length of their transaction, so each is stored before the block or set aside after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contacts.repository import COLUMNS, view
from contacts.schemas import ContactView, ProviderBlockView
from inbox.kernel.database import UnitOfWork


async def block(
    unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, *, by: UUID, reason: str | None, until: datetime | None
) -> ContactView:
    """Since when stays as it is where they were blocked before."""
    row = await unit.fetchrow(
        f"""
        UPDATE contacts c SET blocked_at = coalesce(blocked_at, now()), blocked_by = $3, blocked_reason = $4,
            blocked_until = $5, version = version + 1, updated_at = now()
        WHERE workspace_id = $1 AND id = $2 RETURNING {COLUMNS}
        """,
        workspace_id,
        contact_id,
        by,
        reason,
        until,
    )
    assert row is not None
    return view(row)


async def unblock(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> ContactView:
    row = await unit.fetchrow(
        f"""
        UPDATE contacts c SET blocked_at = NULL, blocked_by = NULL, blocked_reason = NULL, blocked_until = NULL,
            version = version + 1, updated_at = now()
        WHERE workspace_id = $1 AND id = $2 RETURNING {COLUMNS}
        """,
        workspace_id,
        contact_id,
    )
    assert row is not None
    return view(row)


async def lock_expired(unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID]) -> list[UUID]:
    """Those of these contacts whose block has come to its end, locked in the order of their ids."""
    found = await unit.fetch(
        """SELECT id FROM contacts WHERE workspace_id = $1 AND id = ANY($2) AND merged_into IS NULL
             AND blocked_until <= clock_timestamp() ORDER BY id FOR UPDATE""",
        workspace_id,
        contact_ids,
    )
    return [row[0] for row in found]


async def lock_blocked(unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these contacts that are blocked. None of them is blocked or unblocked until the transaction ends."""
    found = await unit.fetch(
        """SELECT id, blocked_at IS NOT NULL FROM contacts WHERE workspace_id = $1 AND id = ANY($2)
           ORDER BY id FOR NO KEY UPDATE""",
        workspace_id,
        contact_ids,
    )
    return {row[0] for row in found if row[1]}


# --- at the provider --------------------------------------------------------------------------------------------------


async def ask(
    unit: UnitOfWork, workspace_id: UUID, places: Sequence[tuple[UUID, UUID]], wanted: str
) -> list[ProviderBlockView]:
    """``places``: (channel, identity), sorted. What was asked before is overruled."""
    found = await unit.fetch(
        f"""
        INSERT INTO provider_blocks AS p (workspace_id, channel_id, identity_id, wanted, asked_at)
        SELECT $1, channel_id, identity_id, $4, now()
        FROM unnest($2::uuid[], $3::uuid[]) AS n (channel_id, identity_id)
        ON CONFLICT (workspace_id, channel_id, identity_id) DO UPDATE SET wanted = $4, state = 'pending', fault = NULL,
            reason = NULL, asked_at = now(), settled_at = NULL
        RETURNING {BLOCK}
        """,
        workspace_id,
        [channel_id for channel_id, _ in places],
        [identity_id for _, identity_id in places],
        wanted,
    )
    return [ProviderBlockView(*row) for row in found]


async def settle(
    unit: UnitOfWork,
    workspace_id: UUID,
    asked: ProviderBlockView,
    *,
    state: str,
    fault: str | None = None,
    reason: str | None = None,
) -> ProviderBlockView | None:
    """``None`` when something else has been asked since."""
    row = await unit.fetchrow(
        f"""
        UPDATE provider_blocks p SET state = $5, fault = $6, reason = $7, settled_at = now()
        WHERE workspace_id = $1 AND channel_id = $2 AND identity_id = $3 AND asked_at = $4 AND state = 'pending'
        RETURNING {BLOCK}
        """,
        workspace_id,
        asked.channel_id,
        asked.identity_id,
        asked.asked_at,
        state,
        fault,
        reason,
    )
    return None if row is None else ProviderBlockView(*row)


async def asked_of(unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID]) -> list[ProviderBlockView]:
    """What providers were asked about these contacts."""
    found = await unit.fetch(
        f"""SELECT {BLOCK} FROM provider_blocks p JOIN identities i
              ON i.workspace_id = p.workspace_id AND i.id = p.identity_id
            WHERE p.workspace_id = $1 AND i.contact_id = ANY($2) ORDER BY p.channel_id, p.identity_id""",
        workspace_id,
        contact_ids,
    )
    return [ProviderBlockView(*row) for row in found]


async def find_asked(
    unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, identity_id: UUID
) -> ProviderBlockView | None:
    row = await unit.fetchrow(
        f"SELECT {BLOCK} FROM provider_blocks p WHERE workspace_id = $1 AND channel_id = $2 AND identity_id = $3",
        workspace_id,
        channel_id,
        identity_id,
    )
    return None if row is None else ProviderBlockView(*row)


async def inherit_provider_blocks(unit: UnitOfWork, workspace_id: UUID, losers: Sequence[UUID], survivor: UUID) -> None:
    """What a provider was asked about the person holds for the identity that stays; its own word goes first."""
    await unit.execute(
        """
        UPDATE provider_blocks p SET identity_id = $3
        WHERE p.workspace_id = $1 AND p.identity_id = ANY($2) AND NOT EXISTS (
            SELECT FROM provider_blocks o WHERE o.workspace_id = $1 AND o.channel_id = p.channel_id
               AND (o.identity_id = $3 OR o.identity_id = ANY($2) AND o.identity_id < p.identity_id)
        )
        """,
        workspace_id,
        losers,
        survivor,
    )


BLOCK = """(SELECT o.contact_id FROM identities o WHERE o.workspace_id = p.workspace_id AND o.id = p.identity_id),
    p.identity_id, p.channel_id, p.wanted, p.state, p.fault, p.reason, p.asked_at, p.settled_at"""
