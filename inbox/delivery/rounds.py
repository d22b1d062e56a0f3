"""The SQL of a person's decisions about the deliveries of one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inbox.kernel.database import UnitOfWork


@dataclass(frozen=True, slots=True)
class DeliveryState:
    id: UUID
    state: str
    fault_code: str | None
    now: datetime


async def states(unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> list[DeliveryState]:
    """In order, locked: a claim of another node skips them, a claim that was first shows as ``sending``."""
    found = await unit.fetch(
        """SELECT id, state, fault->>'code', clock_timestamp() FROM deliveries
           WHERE workspace_id = $1 AND message_id = $2 ORDER BY ordinal FOR NO KEY UPDATE""",
        workspace_id,
        message_id,
    )
    return [DeliveryState(*row) for row in found]


async def begin_again(unit: UnitOfWork, workspace_id: UUID, renamed: Sequence[tuple[UUID, UUID]]) -> None:
    """A new id, no external id, a full count of tries and a new deadline. ``renamed``: (old, new), in order.

    A person answers for it from here on: neither the lease under which a bot wrote it counts any longer, nor the
    conditions under which it was to go out by itself.
    """
    await unit.execute(
        """
        UPDATE deliveries d SET id = n.new, state = 'queued', due_at = now(), expires_at = now() + interval '24 hours',
            attempts = 0, sending_since = NULL, node = NULL, external_id = NULL, inferred = false, fault = NULL,
            sent_at = NULL, status_at = now(), epoch = NULL,
            hold_after_number = NULL, stop_when_closed = false, quiet = NULL
        FROM unnest($2::uuid[], $3::uuid[]) AS n (old, new)
        WHERE d.workspace_id = $1 AND d.id = n.old
        """,
        workspace_id,
        [old for old, _ in renamed],
        [new for _, new in renamed],
    )
