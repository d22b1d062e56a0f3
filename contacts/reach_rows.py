"""The SQL of whether somebody can, and wants to, be written to under one identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from contacts.repository import COLUMNS, view
from contacts.schemas import ContactView, ReachView
from inbox.kernel.database import UnitOfWork

REACH = """i.contact_id, i.id, i.provider, i.unreachable, i.unreachable_at, i.marketing_stopped_at,
    i.marketing_stopped_reason"""
REACH_WIDTH = len(fields(ReachView))


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether something may be sent to an identity. ``unreachable``: why not, in the provider's terms.

    ``by_phone``: the channel can reach them under a telephone number, which is an address of a kind that ends so.
    """

    blocked: bool
    unreachable: str | None
    marketing_stopped: bool
    by_phone: bool


async def reach(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID) -> Reach:
    """Of an identity that exists."""
    row = await unit.fetchrow(
        """SELECT c.blocked_at IS NOT NULL, i.unreachable, i.marketing_stopped_at IS NOT NULL, EXISTS (
               SELECT FROM addresses a WHERE a.workspace_id = i.workspace_id AND a.identity_id = i.id
                 AND a.kind LIKE '%\\_phone' AND a.retired_at IS NULL)
           FROM identities i JOIN contacts c ON c.workspace_id = i.workspace_id AND c.id = i.contact_id
           WHERE i.workspace_id = $1 AND i.id = $2""",
        workspace_id,
        identity_id,
    )
    assert row is not None
    return Reach(*row)


async def set_reachability(
    unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, unreachable: str | None
) -> tuple[ContactView, ReachView] | None:
    """``None`` when that changed nothing."""
    row = await unit.fetchrow(
        f"""
        WITH changed AS (
            UPDATE identities i
            SET unreachable = $3, unreachable_at = CASE WHEN $3::text IS NULL THEN NULL ELSE now() END
            WHERE workspace_id = $1 AND id = $2 AND unreachable IS DISTINCT FROM $3 RETURNING {REACH}
        )
        SELECT changed.*, {COLUMNS} FROM contacts c JOIN changed ON changed.contact_id = c.id WHERE c.workspace_id = $1
        """,
        workspace_id,
        identity_id,
        unreachable,
    )
    if row is None:
        return None
    values = tuple(row)
    return view(values[REACH_WIDTH:]), ReachView(*values[:REACH_WIDTH])


async def stop_marketing(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, reason: str) -> ReachView | None:
    """``None`` when it was stopped before."""
    row = await unit.fetchrow(
        f"""
        UPDATE identities i SET marketing_stopped_at = now(), marketing_stopped_reason = $3
        WHERE workspace_id = $1 AND id = $2 AND marketing_stopped_at IS NULL RETURNING {REACH}
        """,
        workspace_id,
        identity_id,
        reason,
    )
    return None if row is None else ReachView(*row)


async def resume_marketing(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID) -> ReachView | None:
    """``None`` when it was not stopped."""
    row = await unit.fetchrow(
        f"""
        UPDATE identities i SET marketing_stopped_at = NULL, marketing_stopped_reason = NULL
        WHERE workspace_id = $1 AND id = $2 AND marketing_stopped_at IS NOT NULL RETURNING {REACH}
        """,
        workspace_id,
        identity_id,
    )
    return None if row is None else ReachView(*row)


async def inherit_stop(
    unit: UnitOfWork, workspace_id: UUID, losers: Sequence[UUID], survivor: UUID
) -> ReachView | None:
    """Who stopped marketing under one of the identities that are joined has stopped it under the one that stays.

    ``None`` when that changed nothing.
    """
    row = await unit.fetchrow(
        f"""
        UPDATE identities i
        SET marketing_stopped_at = l.marketing_stopped_at, marketing_stopped_reason = l.marketing_stopped_reason
        FROM (
            SELECT marketing_stopped_at, marketing_stopped_reason FROM identities
            WHERE workspace_id = $1 AND id = ANY($2) AND marketing_stopped_at IS NOT NULL
            ORDER BY marketing_stopped_at LIMIT 1
        ) l
        WHERE i.workspace_id = $1 AND i.id = $3 AND i.marketing_stopped_at IS NULL RETURNING {REACH}
        """,
        workspace_id,
        losers,
        survivor,
    )
    return None if row is None else ReachView(*row)
