"""The SQL of edits and deletions of sent messages: the intent, its end, and what of the message is at the provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from inbox.delivery.schemas import ChangeKind, ChangeState, ChangeView
from inbox.kernel.database import UnitOfWork
from inbox.kernel.encoding import encode
from inbox.messages.repository import fault_view


@dataclass(frozen=True, slots=True)
class AtProvider:
    """One provider message of ours; ``ids`` has several for an album, none where the provider told none."""

    ids: tuple[str, ...]
    sent_at: datetime | None


async def at_provider(unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> list[AtProvider]:
    found = await unit.fetch(
        """SELECT external_id, further_ids, sent_at FROM deliveries
           WHERE workspace_id = $1 AND message_id = $2 ORDER BY ordinal""",
        workspace_id,
        message_id,
    )
    return [AtProvider(() if row[0] is None else (row[0], *(row[1] or ())), row[2]) for row in found]


async def begin(
    unit: UnitOfWork,
    workspace_id: UUID,
    change_id: UUID,
    message_id: UUID,
    kind: ChangeKind,
    parts: bytes | None,
    asked_by: UUID,
) -> bool:
    """``False``: another change of this message is under way."""
    try:
        async with unit.savepoint():
            await unit.execute(
                """INSERT INTO message_changes (workspace_id, id, message_id, kind, parts, asked_by)
                   VALUES ($1, $2, $3, $4, $5, $6)""",
                workspace_id,
                change_id,
                message_id,
                kind,
                parts,
                asked_by,
            )
    except asyncpg.UniqueViolationError:
        return False
    return True


async def end(
    unit: UnitOfWork, workspace_id: UUID, change_id: UUID, state: ChangeState, fault: dict[str, object] | None
) -> None:
    await unit.execute(
        """UPDATE message_changes SET state = $3, fault = $4, finished_at = clock_timestamp()
           WHERE workspace_id = $1 AND id = $2""",
        workspace_id,
        change_id,
        state,
        fault,
    )


async def end_lost(unit: UnitOfWork, grace_seconds: float, fault: dict[str, object], most: int) -> int:
    """Under way for longer than any live holder would wait: nobody knows what became of them."""
    done = await unit.execute(
        """
        UPDATE message_changes c SET state = 'unknown', fault = $2, finished_at = now()
        FROM (
            SELECT workspace_id, id FROM message_changes
            WHERE state = 'sending' AND started_at < now() - make_interval(secs => $1)
            ORDER BY started_at LIMIT $3 FOR UPDATE SKIP LOCKED
        ) AS lost
        WHERE c.workspace_id = lost.workspace_id AND c.id = lost.id
        """,
        grace_seconds,
        fault,
        most,
    )
    return int(done.rpartition(" ")[2])


async def of_message(unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> list[ChangeView]:
    """The last hundred, newest first."""
    found = await unit.fetch(
        """SELECT id, kind, state, asked_by, started_at, finished_at, fault FROM message_changes
           WHERE workspace_id = $1 AND message_id = $2 ORDER BY id DESC LIMIT 100""",
        workspace_id,
        message_id,
    )
    return [ChangeView(row[0], row[1], row[2], row[3], row[4], row[5], fault_view(row[6])) for row in found]


async def note_further_ids(unit: UnitOfWork, workspace_id: UUID, further: Sequence[tuple[UUID, Sequence[str]]]) -> None:
    """``further``: (delivery, the ids of an album's other files)."""
    await unit.execute(
        """UPDATE deliveries d SET further_ids = n.ids FROM unnest($2::uuid[], $3::jsonb[]) AS n (id, ids)
           WHERE d.workspace_id = $1 AND d.id = n.id""",
        workspace_id,
        [delivery_id for delivery_id, _ in further],
        [encode(ids) for _, ids in further],  # a list of lists would be an array of two dimensions
    )
