"""All SQL about runs, and about which events were answered. Bots are in ``bot_rows``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inbox.kernel.database import UnitOfWork
from inbox.messages.schemas import AuthorView
from scheduler.workflows.schemas import RunReason, RunState, RunView


@dataclass(slots=True)
class Run:
    """A row, as it will be written back. ``bot_name`` and ``answer_within`` are the bot's."""

    workspace_id: UUID
    id: UUID
    conversation_id: UUID
    bot_id: UUID
    state: RunState
    reason: RunReason | None
    note: str | None
    epoch: int
    former_assignee_id: UUID | None
    by_kind: str | None
    by_id: UUID | None
    by_name: str | None
    waiting_since: datetime | None
    waiting_id: UUID | None
    version: int
    created_at: datetime
    updated_at: datetime
    bot_name: str
    answer_within: int

    @property
    def current(self) -> bool:
        return self.state in ("active", "paused")


CURRENT = "r.state IN ('active', 'paused')"
_OWN = """r.workspace_id, r.id, r.conversation_id, r.bot_id, r.state, r.reason, r.note, r.epoch, r.former_assignee_id,
    r.by_kind, r.by_id, r.by_name, r.waiting_since, r.waiting_id, r.version, r.created_at, r.updated_at"""
_SELECT = f"""SELECT {_OWN}, a.name, coalesce(b.answer_within, 60) FROM workflow_runs r
    JOIN agents a ON a.workspace_id = r.workspace_id AND a.id = r.bot_id
    LEFT JOIN bots b ON b.workspace_id = r.workspace_id AND b.id = r.bot_id"""


async def find(unit: UnitOfWork, workspace_id: UUID, run_id: UUID) -> Run | None:
    row = await unit.fetchrow(f"{_SELECT} WHERE r.workspace_id = $1 AND r.id = $2", workspace_id, run_id)
    return None if row is None else Run(*row)


async def find_many(unit: UnitOfWork, workspace_id: UUID, run_ids: Sequence[UUID]) -> list[Run]:
    found = await unit.fetch(f"{_SELECT} WHERE r.workspace_id = $1 AND r.id = ANY($2)", workspace_id, run_ids)
    return [Run(*row) for row in found]


async def lock(unit: UnitOfWork, workspace_id: UUID, run_ids: Sequence[UUID]) -> list[Run]:
    """In the order of their ids. Their conversations are locked already."""
    found = await unit.fetch(
        f"{_SELECT} WHERE r.workspace_id = $1 AND r.id = ANY($2) ORDER BY r.id FOR NO KEY UPDATE OF r",
        workspace_id,
        run_ids,
    )
    return [Run(*row) for row in found]


async def lock_current(unit: UnitOfWork, workspace_id: UUID, conversation_ids: Sequence[UUID]) -> dict[UUID, Run]:
    """The current runs of these conversations, which are locked, by conversation."""
    found = await unit.fetch(
        f"""{_SELECT} WHERE r.workspace_id = $1 AND r.conversation_id = ANY($2) AND {CURRENT}
            ORDER BY r.id FOR NO KEY UPDATE OF r""",
        workspace_id,
        conversation_ids,
    )
    return {run.conversation_id: run for run in (Run(*row) for row in found)}


async def is_tied(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> bool:
    """Whether the conversation has a current run."""
    found = await unit.fetchval(
        f"SELECT 1 FROM workflow_runs r WHERE r.workspace_id = $1 AND r.conversation_id = $2 AND {CURRENT}",
        workspace_id,
        conversation_id,
    )
    return found is not None


async def insert(unit: UnitOfWork, run: Run) -> bool:
    """``False``: the conversation has a current run."""
    made = await unit.fetchval(
        """
        INSERT INTO workflow_runs (workspace_id, id, conversation_id, bot_id, state, reason, note, epoch,
            former_assignee_id, by_kind, by_id, by_name, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)
        ON CONFLICT (workspace_id, conversation_id) WHERE state IN ('active', 'paused') DO NOTHING RETURNING true
        """,
        run.workspace_id,
        run.id,
        run.conversation_id,
        run.bot_id,
        run.state,
        run.reason,
        run.note,
        run.epoch,
        run.former_assignee_id,
        run.by_kind,
        run.by_id,
        run.by_name,
        run.created_at,
    )
    return bool(made)


async def save(unit: UnitOfWork, run: Run) -> None:
    await unit.execute(
        """
        UPDATE workflow_runs SET conversation_id = $3, state = $4, reason = $5, note = $6, epoch = $7,
            former_assignee_id = $8, by_kind = $9, by_id = $10, by_name = $11, waiting_since = $12, waiting_id = $13,
            version = $14, updated_at = $15
        WHERE workspace_id = $1 AND id = $2
        """,
        run.workspace_id,
        run.id,
        run.conversation_id,
        run.state,
        run.reason,
        run.note,
        run.epoch,
        run.former_assignee_id,
        run.by_kind,
        run.by_id,
        run.by_name,
        run.waiting_since,
        run.waiting_id,
        run.version,
        run.updated_at,
    )


async def page(
    unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID, *, before: UUID | None, limit: int
) -> list[Run]:
    """Newest first, below ``before``."""
    found = await unit.fetch(
        f"""{_SELECT} WHERE r.workspace_id = $1 AND r.conversation_id = $2 AND ($3::uuid IS NULL OR r.id < $3)
            ORDER BY r.id DESC LIMIT $4""",
        workspace_id,
        conversation_id,
        before,
        limit,
    )
    return [Run(*row) for row in found]


async def last_of_bot(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID, bot_id: UUID) -> Run | None:
    row = await unit.fetchrow(
        f"""{_SELECT} WHERE r.workspace_id = $1 AND r.conversation_id = $2 AND r.bot_id = $3
            ORDER BY r.updated_at DESC, r.id DESC LIMIT 1""",
        workspace_id,
        conversation_id,
        bot_id,
    )
    return None if row is None else Run(*row)


async def follow_thread(unit: UnitOfWork, workspace_id: UUID, source: UUID, target: UUID) -> None:
    """What belonged to a conversation that is gone belongs to the one it became part of."""
    await unit.execute(
        "UPDATE workflow_runs SET conversation_id = $3 WHERE workspace_id = $1 AND conversation_id = $2",
        workspace_id,
        source,
        target,
    )


async def of_contact(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> list[Run]:
    """The current runs in conversations of this contact, oldest first; not locked."""
    found = await unit.fetch(
        f"""{_SELECT} JOIN conversations v ON v.workspace_id = r.workspace_id AND v.id = r.conversation_id
            WHERE r.workspace_id = $1 AND v.contact_id = $2 AND {CURRENT} ORDER BY r.id""",
        workspace_id,
        contact_id,
    )
    return [Run(*row) for row in found]


async def those_of_contact(
    unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, run_ids: Sequence[UUID]
) -> list[UUID]:
    """Those of these runs, in whatever state, that are in conversations of this contact."""
    found = await unit.fetch(
        """SELECT r.id FROM workflow_runs r
           JOIN conversations v ON v.workspace_id = r.workspace_id AND v.id = r.conversation_id
           WHERE r.workspace_id = $1 AND v.contact_id = $2 AND r.id = ANY($3) ORDER BY r.id""",
        workspace_id,
        contact_id,
        run_ids,
    )
    return [row[0] for row in found]


async def held_by(unit: UnitOfWork, workspace_id: UUID, bot_id: UUID, *, limit: int) -> list[Run]:
    """Current runs of a bot, not locked."""
    found = await unit.fetch(
        f"{_SELECT} WHERE r.workspace_id = $1 AND r.bot_id = $2 AND {CURRENT} ORDER BY r.conversation_id LIMIT $3",
        workspace_id,
        bot_id,
        limit,
    )
    return [Run(*row) for row in found]


async def mark_answered(unit: UnitOfWork, workspace_id: UUID, bot_id: UUID, epoch: UUID, position: int) -> bool:
    """``False``: the event was answered before. Waits for a transaction that is answering it at this moment."""
    new = await unit.fetchval(
        """INSERT INTO workflow_answers (workspace_id, bot_id, epoch, position) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING RETURNING true""",
        workspace_id,
        bot_id,
        epoch,
        position,
    )
    return bool(new)


def view(run: Run) -> RunView:
    by = None if run.by_kind is None else AuthorView(run.by_kind, run.by_id, run.by_name)  # type: ignore[arg-type]
    return RunView(
        id=run.id,
        conversation_id=run.conversation_id,
        bot_id=run.bot_id,
        state=run.state,
        reason=run.reason,
        note=run.note,
        by=by,
        epoch=run.epoch,
        version=run.version,
        created_at=run.created_at,
        updated_at=run.updated_at,
    )
