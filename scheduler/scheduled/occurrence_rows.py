"""All SQL about what came of the occurrences of recurring messages, and of the message of each."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Final
from uuid import UUID

from inbox.kernel.database import UnitOfWork
from scheduler.scheduled.repository import Scheduled
from scheduler.scheduled.schemas import OccurrenceView


async def put(unit: UnitOfWork, workspace_id: UUID, row: Scheduled, one: OccurrenceView) -> None:
    """Write it down, or how it stands now."""
    values = asdict(one)
    names = list(values)
    await unit.execute(
        f"""
        INSERT INTO scheduled_occurrences (workspace_id, scheduled_id, plan_number, {", ".join(names)})
        VALUES ($1, $2, $3, {", ".join(f"${n}" for n in range(4, len(names) + 4))})
        ON CONFLICT (workspace_id, scheduled_id, number) DO UPDATE SET
            {", ".join(f"{name} = excluded.{name}" for name in names if name not in ("number", "local", "due_at"))}
        """,
        workspace_id,
        row.id,
        row.plan_number,
        *values.values(),
    )


async def find(unit: UnitOfWork, workspace_id: UUID, scheduled_id: UUID, message_id: UUID) -> OccurrenceView | None:
    found = await unit.fetchrow(
        f"""SELECT {_OCCURRENCE} FROM scheduled_occurrences
            WHERE workspace_id = $1 AND scheduled_id = $2 AND message_id = $3""",
        workspace_id,
        scheduled_id,
        message_id,
    )
    return None if found is None else OccurrenceView(*found)


async def last(unit: UnitOfWork, workspace_id: UUID, scheduled_id: UUID, limit: int) -> list[OccurrenceView]:
    found = await unit.fetch(
        f"""SELECT {_OCCURRENCE} FROM scheduled_occurrences WHERE workspace_id = $1 AND scheduled_id = $2
            ORDER BY number DESC LIMIT $3""",
        workspace_id,
        scheduled_id,
        limit,
    )
    return [OccurrenceView(*row) for row in found]


async def anything_left(unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> bool:
    """Whether a part of this message has reached the customer, or may have: one that was refused later has not."""
    left: bool = await unit.fetchval(
        """SELECT EXISTS (SELECT FROM deliveries WHERE workspace_id = $1 AND message_id = $2
           AND (sent_at IS NOT NULL AND state <> 'failed' OR state IN ('sending', 'uncertain')))""",
        workspace_id,
        message_id,
    )
    return left


async def is_settled(unit: UnitOfWork, workspace_id: UUID, row: Scheduled) -> bool:
    """Whether the occurrence at which ``row`` stands came already, and what became of it is written down."""
    settled: bool = await unit.fetchval(
        """SELECT EXISTS (SELECT FROM scheduled_occurrences
           WHERE workspace_id = $1 AND scheduled_id = $2 AND plan_number = $3 AND local = $4)""",
        workspace_id,
        row.id,
        row.plan_number,
        row.local,
    )
    return settled


_OCCURRENCE: Final = ", ".join(one.name for one in fields(OccurrenceView))
