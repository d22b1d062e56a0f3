"""The SQL of blocking: what is queued or in the air for a contact, and the times at which resumed things go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from inbox.blocking.pausable import APART, Slots
from inbox.kernel.database import UnitOfWork


@dataclass(frozen=True, slots=True)
class InTheAir:
    """A request at the provider. ``id``: of the delivery, or of the change of a message."""

    id: UUID
    message_id: UUID
    conversation_id: UUID
    request: Literal["send", "edit", "delete"]


async def queued(unit: UnitOfWork, workspace_id: UUID, conversation_ids: Sequence[UUID]) -> list[UUID]:
    """The deliveries that have not left. The caller holds the conversations: none leaves now, and none is added."""
    found = await unit.fetch(
        """SELECT id FROM deliveries WHERE workspace_id = $1 AND conversation_id = ANY($2) AND state = 'queued'
           ORDER BY id""",
        workspace_id,
        conversation_ids,
    )
    return [row[0] for row in found]


async def in_the_air(unit: UnitOfWork, workspace_id: UUID, conversation_ids: Sequence[UUID]) -> list[InTheAir]:
    found = await unit.fetch(
        """
        SELECT d.id, d.message_id, d.conversation_id, 'send' FROM deliveries d
        WHERE d.workspace_id = $1 AND d.conversation_id = ANY($2) AND d.state = 'sending'
        UNION ALL
        SELECT c.id, c.message_id, m.conversation_id, c.kind FROM message_changes c
        JOIN messages m ON m.workspace_id = c.workspace_id AND m.id = c.message_id
        WHERE c.workspace_id = $1 AND c.state = 'sending' AND m.conversation_id = ANY($2)
        ORDER BY 1
        """,
        workspace_id,
        conversation_ids,
    )
    return [InTheAir(*row) for row in found]


async def states(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> dict[UUID, str]:
    """How these deliveries and changes stand now."""
    found = await unit.fetch(
        """SELECT id, state FROM deliveries WHERE workspace_id = $1 AND id = ANY($2)
           UNION ALL SELECT id, state FROM message_changes WHERE workspace_id = $1 AND id = ANY($2)""",
        workspace_id,
        ids,
    )
    return {row[0]: row[1] for row in found}


async def places(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> list[tuple[UUID, UUID]]:
    """The (channel, identity) of each conversation of a contact, in order."""
    found = await unit.fetch(
        """SELECT channel_id, identity_id FROM conversations WHERE workspace_id = $1 AND contact_id = $2
           ORDER BY channel_id, identity_id""",
        workspace_id,
        contact_id,
    )
    return [(row[0], row[1]) for row in found]


async def reserve_slots(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, count: int) -> datetime:
    """The first of ``count`` times, ``APART`` from each other, that nobody else was given for this contact."""
    first: datetime = await unit.fetchval(
        """
        INSERT INTO resume_slots AS s (workspace_id, contact_id, free_at)
        VALUES ($1, $2, clock_timestamp() + $3::interval + $4::interval)
        ON CONFLICT (workspace_id, contact_id) DO UPDATE
        SET free_at = greatest(s.free_at, clock_timestamp() + $3::interval) + $4::interval
        RETURNING free_at - $4::interval
        """,
        workspace_id,
        contact_id,
        APART,
        timedelta(seconds=APART.total_seconds() * count),
    )
    return first


async def free_slot(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> Callable[[], datetime]:
    """The time for one item that goes on by another way than together with the others that a block paused."""
    return Slots(await reserve_slots(unit, workspace_id, contact_id, 1)).take
