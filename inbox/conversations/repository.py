"""All SQL about conversations and reading positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from inbox.conversations.schemas import ConversationView, ResponderView
from inbox.conversations.window import window_expiry
from inbox.kernel.database import UnitOfWork


@dataclass(slots=True)
class Thread:
    """A conversation row that this transaction has locked, as it will be written back."""

    id: UUID
    channel_id: UUID
    identity_id: UUID
    contact_id: UUID
    status: str
    assignee_id: UUID | None
    priority: int
    last_number: int
    last_inbound_number: int
    inbound_count: int
    last_message_at: datetime | None
    active_at: datetime
    last_message_preview: str | None
    last_message_direction: str | None
    window_opened_at: datetime | None
    window_closed_at: datetime | None
    delivered_up_to: datetime | None
    read_up_to: datetime | None
    epoch: int
    automated: bool
    bot_id: UUID | None
    run_id: UUID | None
    run_paused: bool
    version: int
    created_at: datetime
    updated_at: datetime | None
    fresh: bool = False
    """Created by this transaction, its event not recorded yet."""
    changed: bool = False

    @property
    def holder_id(self) -> UUID | None:
        """The bot whose turn it is."""
        return None if self.run_paused else self.bot_id


COLUMNS = """v.id, v.channel_id, v.identity_id, v.contact_id, v.status, v.assignee_id, v.priority, v.last_number,
    v.last_inbound_number, v.inbound_count, v.last_message_at, v.active_at, v.last_message_preview,
    v.last_message_direction, v.window_opened_at, v.window_closed_at, v.delivered_up_to, v.read_up_to, v.epoch,
    v.automated, v.bot_id, v.run_id, v.run_paused, v.version, v.created_at, v.updated_at"""


def thread(row: asyncpg.Record) -> Thread:
    return Thread(*tuple(row))


async def lock_many(
    unit: UnitOfWork, workspace_id: UUID, keys: Sequence[tuple[UUID, UUID]], ids: Sequence[UUID]
) -> list[Thread]:
    """Lock the conversations of these (channel, identity) pairs and of these ids, in the order of their ids."""
    found = await unit.fetch(
        f"""
        SELECT {COLUMNS} FROM conversations v
        WHERE v.workspace_id = $1 AND v.id IN (
            SELECT unnest($2::uuid[])
            UNION ALL
            SELECT k.id FROM unnest($3::uuid[], $4::uuid[]) AS w (channel_id, identity_id)
            JOIN conversations k
              ON k.workspace_id = $1 AND k.channel_id = w.channel_id AND k.identity_id = w.identity_id
        )
        ORDER BY v.id FOR UPDATE
        """,
        workspace_id,
        ids,
        [channel_id for channel_id, _ in keys],
        [identity_id for _, identity_id in keys],
    )
    return [thread(row) for row in found]


async def insert_many(
    unit: UnitOfWork, workspace_id: UUID, new: Sequence[tuple[UUID, UUID, UUID, UUID]]
) -> list[Thread]:
    """``new``: (id, channel, identity, contact), sorted. Fewer rows come back when another transaction was first."""
    found = await unit.fetch(
        f"""
        INSERT INTO conversations AS v (workspace_id, id, channel_id, identity_id, contact_id)
        SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[])
        ON CONFLICT DO NOTHING RETURNING {COLUMNS}
        """,
        workspace_id,
        *[list(column) for column in zip(*new, strict=True)],
    )
    return [thread(row) for row in found]


async def write_back(unit: UnitOfWork, workspace_id: UUID, threads: Sequence[Thread]) -> None:
    await unit.execute(
        """
        UPDATE conversations v SET
            contact_id = n.contact_id, status = n.status, assignee_id = n.assignee_id, priority = n.priority,
            last_number = n.last_number, last_inbound_number = n.last_inbound_number, inbound_count = n.inbound_count,
            last_message_at = n.last_message_at, active_at = n.active_at, last_message_preview = n.preview,
            last_message_direction = n.direction, window_opened_at = n.window_opened_at,
            window_closed_at = n.window_closed_at, delivered_up_to = n.delivered_up_to, read_up_to = n.read_up_to,
            epoch = n.epoch, version = n.version, updated_at = n.updated_at, automated = n.automated,
            bot_id = n.bot_id, run_id = n.run_id, run_paused = n.run_paused
        FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::smallint[], $7::bigint[], $8::bigint[],
                    $9::bigint[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[], $14::timestamptz[],
                    $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::bigint[], $19::int[],
                    $20::timestamptz[], $21::bool[], $22::uuid[], $23::uuid[], $24::bool[])
             AS n (id, contact_id, status, assignee_id, priority, last_number, last_inbound_number, inbound_count,
                   last_message_at, active_at, preview, direction, window_opened_at, window_closed_at, delivered_up_to,
                   read_up_to, epoch, version, updated_at, automated, bot_id, run_id, run_paused)
        WHERE v.workspace_id = $1 AND v.id = n.id
        """,
        workspace_id,
        [t.id for t in threads],
        [t.contact_id for t in threads],
        [t.status for t in threads],
        [t.assignee_id for t in threads],
        [t.priority for t in threads],
        [t.last_number for t in threads],
        [t.last_inbound_number for t in threads],
        [t.inbound_count for t in threads],
        [t.last_message_at for t in threads],
        [t.active_at for t in threads],
        [t.last_message_preview for t in threads],
        [t.last_message_direction for t in threads],
        [t.window_opened_at for t in threads],
        [t.window_closed_at for t in threads],
        [t.delivered_up_to for t in threads],
        [t.read_up_to for t in threads],
        [t.epoch for t in threads],
        [t.version for t in threads],
        [t.updated_at for t in threads],
        [t.automated for t in threads],
        [t.bot_id for t in threads],
        [t.run_id for t in threads],
        [t.run_paused for t in threads],
    )


async def find(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> Thread | None:
    row = await unit.fetchrow(
        f"SELECT {COLUMNS} FROM conversations v WHERE workspace_id = $1 AND id = $2", workspace_id, conversation_id
    )
    return None if row is None else thread(row)


async def of_identities(unit: UnitOfWork, workspace_id: UUID, identity_ids: Sequence[UUID]) -> list[Thread]:
    """Locked, in the order of their ids."""
    found = await unit.fetch(
        f"""
        SELECT {COLUMNS} FROM conversations v WHERE v.workspace_id = $1 AND v.identity_id = ANY($2)
        ORDER BY v.id FOR UPDATE
        """,
        workspace_id,
        identity_ids,
    )
    return [thread(row) for row in found]


async def of_contacts(unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID]) -> list[Thread]:
    """Locked, in the order of their ids."""
    found = await unit.fetch(
        f"""
        SELECT {COLUMNS} FROM conversations v WHERE v.workspace_id = $1 AND v.contact_id = ANY($2)
        ORDER BY v.id FOR UPDATE
        """,
        workspace_id,
        contact_ids,
    )
    return [thread(row) for row in found]


async def rehome(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID, identity_id: UUID) -> None:
    """The thread now belongs to ``identity_id``; see ``follow_contact`` for the contact."""
    await unit.execute(
        "UPDATE conversations SET identity_id = $3 WHERE workspace_id = $1 AND id = $2",
        workspace_id,
        conversation_id,
        identity_id,
    )


async def follow_contact(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID) -> list[UUID]:
    """After a join: every thread whose identity now belongs to the contact of ``identity_id`` says so, too."""
    found = await unit.fetch(
        """
        UPDATE conversations v SET contact_id = i.contact_id, version = v.version + 1, updated_at = now()
        FROM identities i WHERE i.workspace_id = $1 AND v.workspace_id = $1 AND i.id = v.identity_id
             AND v.contact_id <> i.contact_id
             AND i.contact_id = (SELECT contact_id FROM identities WHERE workspace_id = $1 AND id = $2)
        RETURNING v.id
        """,
        workspace_id,
        identity_id,
    )
    return [row[0] for row in found]


async def delete(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> None:
    await unit.execute("DELETE FROM conversations WHERE workspace_id = $1 AND id = $2", workspace_id, conversation_id)


async def page(
    unit: UnitOfWork,
    workspace_id: UUID,
    *,
    statuses: Sequence[str],
    channel_id: UUID | None,
    contact_id: UUID | None,
    assignee_id: UUID | None,
    holder_id: UUID | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Thread]:
    """Most recent message first; ties by id. ``after`` is the key of the last row of the page before."""
    conditions = ["v.workspace_id = $1"]
    values: list[object] = [workspace_id]

    def add(condition: str, *added: object) -> None:
        first = len(values) + 1
        values.extend(added)
        conditions.append(condition.format(*[f"${first + n}" for n in range(len(added))]))

    if statuses:
        add("v.status = ANY({})", list(statuses))
    if channel_id is not None:
        add("v.channel_id = {}", channel_id)
    if contact_id is not None:
        add("v.contact_id = {}", contact_id)
    if assignee_id is not None:
        add("v.assignee_id = {}", assignee_id)
    if holder_id is not None:
        add("v.bot_id = {} AND NOT v.run_paused", holder_id)
    if after is not None:
        add("(v.active_at, v.id) < ({}, {})", *after)
    values.append(limit)
    found = await unit.fetch(
        f"""
        SELECT {COLUMNS} FROM conversations v WHERE {" AND ".join(conditions)}
        ORDER BY v.active_at DESC, v.id DESC LIMIT ${len(values)}
        """,
        *values,
    )
    return [thread(row) for row in found]


async def unread(
    unit: UnitOfWork, workspace_id: UUID, agent_id: UUID, conversation_ids: Sequence[UUID]
) -> Mapping[UUID, int]:
    """Inbound messages above each reading position; conversations without any are left out.

    Where nothing was read yet the thread's own count answers: a new agent would make PostgreSQL count all there is.
    """
    found = await unit.fetch(
        """
        SELECT v.id, CASE WHEN coalesce(r.number, 0) = 0 THEN v.inbound_count ELSE (
            SELECT count(*) FROM messages m WHERE m.workspace_id = $1 AND m.conversation_id = v.id
               AND m.direction = 'in' AND m.number > r.number
        ) END
        FROM conversations v
        LEFT JOIN reading_positions r ON r.workspace_id = $1 AND r.conversation_id = v.id AND r.agent_id = $2
        WHERE v.workspace_id = $1 AND v.id = ANY($3) AND v.last_inbound_number > coalesce(r.number, 0)
        """,
        workspace_id,
        agent_id,
        conversation_ids,
    )
    return {row[0]: row[1] for row in found}


async def set_reading_position(
    unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID, agent_id: UUID, number: int
) -> bool:
    """Whether that changed anything."""
    row = await unit.fetchrow(
        """
        INSERT INTO reading_positions AS r (workspace_id, conversation_id, agent_id, number, read_at)
        VALUES ($1, $2, $3, $4, now())
        ON CONFLICT (workspace_id, conversation_id, agent_id) DO UPDATE SET number = $4, read_at = now()
        WHERE r.number <> $4 RETURNING 1
        """,
        workspace_id,
        conversation_id,
        agent_id,
        number,
    )
    return row is not None


async def find_holder(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> UUID | None:
    """The bot whose turn it is in this conversation."""
    found: UUID | None = await unit.fetchval(
        "SELECT bot_id FROM conversations WHERE workspace_id = $1 AND id = $2 AND NOT run_paused",
        workspace_id,
        conversation_id,
    )
    return found


async def is_agent(unit: UnitOfWork, workspace_id: UUID, agent_id: UUID) -> bool:
    """Whether somebody can be made the assignee."""
    found = await unit.fetchval(
        "SELECT 1 FROM agents WHERE workspace_id = $1 AND id = $2 AND disabled_at IS NULL", workspace_id, agent_id
    )
    return found is not None


def _responder(thread: Thread) -> ResponderView | None:
    if thread.bot_id is None or thread.run_id is None:
        return None
    return ResponderView("bot", thread.bot_id, thread.run_id, thread.run_paused)


def view(thread: Thread, window_hours: int | None) -> ConversationView:
    return ConversationView(
        id=thread.id,
        channel_id=thread.channel_id,
        contact_id=thread.contact_id,
        status=thread.status,  # type: ignore[arg-type]
        assignee_id=thread.assignee_id,
        priority=thread.priority,
        last_number=thread.last_number,
        inbound_count=thread.inbound_count,
        last_message_at=thread.last_message_at,
        last_message_preview=thread.last_message_preview,
        last_message_direction=thread.last_message_direction,  # type: ignore[arg-type]
        window_expires_at=window_expiry(window_hours, thread.window_opened_at, thread.window_closed_at),
        responder=_responder(thread),
        responder_epoch=thread.epoch,
        automated=thread.automated,
        version=thread.version,
        created_at=thread.created_at,
        updated_at=thread.updated_at,
    )
