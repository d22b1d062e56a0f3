"""All SQL about scheduled messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from inbox.kernel.database import Contended, UnitOfWork
from scheduler.scheduled import plans
from scheduler.scheduled.deciding import Policy, State
from scheduler.scheduled.plans import Due, Plan
from scheduler.scheduled.schemas import ByView, CatchUpView, ContentView, ScheduledView


@dataclass(slots=True)
class Scheduled:
    """A row as it will be written back. ``contact_id`` and ``channel_id`` are those of its conversation."""

    id: UUID
    conversation_id: UUID
    author_id: UUID
    author_name: str
    content: dict[str, Any]
    fallback: dict[str, Any] | None
    preview: str
    plan: dict[str, Any]
    plan_number: int
    zone: str | None
    local: str | None
    due_at: datetime
    by_hand: bool
    timer_number: int
    hold_on_reply: bool
    hold_after_number: int
    anchored_at: datetime
    quiet_hours: bool
    business_hours: bool
    when_closed: Policy
    catch_up: Policy
    late_after: int
    state: State
    reason: str | None
    state_at: datetime
    uncertain: bool
    occurrences: int
    message_id: UUID | None
    fell_back: bool
    handed_at: datetime | None
    lateness_ms: int | None
    client_token: str | None
    version: int
    created_at: datetime
    updated_at: datetime | None
    contact_id: UUID
    channel_id: UUID

    @property
    def timer_key(self) -> str:
        return timer_key(self.id, self.timer_number)

    @property
    def asked(self) -> Plan:
        return plans.of(self.plan)

    @property
    def recurring(self) -> bool:
        return bool(self.plan["type"] == "recurring")

    @property
    def due(self) -> Due:
        return Due(self.due_at, self.local, self.zone)

    def move(self, due: Due, *, by_hand: bool = False) -> None:
        """Give it another time, and with it a timer of another name: the one that stands means nothing any more."""
        self.due_at, self.local, self.zone = due.at, due.local, due.zone
        self.by_hand = by_hand
        self.timer_number += 1

    def become(self, state: State, reason: str | None, now: datetime, *, uncertain: bool = False) -> None:
        if (state, reason, uncertain) != (self.state, self.reason, self.uncertain):
            self.state_at = now
        self.state, self.reason, self.uncertain = state, reason, uncertain


def timer_key(scheduled_id: UUID, number: int) -> str:
    return f"{scheduled_id}/{number}"


_JOINED: Final = ("contact_id", "channel_id")
_OWN: Final = [one.name for one in fields(Scheduled) if one.name not in _JOINED]
_COLUMNS: Final = ", ".join([*(f"s.{name}" for name in _OWN), *(f"v.{name}" for name in _JOINED)])
_FROM: Final = """scheduled_messages s JOIN conversations v
    ON v.workspace_id = s.workspace_id AND v.id = s.conversation_id"""
_FIXED: Final = ("id", "author_id", "author_name", "client_token", "created_at", "updated_at")
_WRITTEN: Final = [name for name in _OWN if name not in _FIXED]


def _row(row: asyncpg.Record) -> Scheduled:
    return Scheduled(*row)


def view(row: Scheduled) -> ScheduledView:
    content = row.content
    reply_to = content["reply_to_id"]
    return ScheduledView(
        id=row.id,
        conversation_id=row.conversation_id,
        contact_id=row.contact_id,
        channel_id=row.channel_id,
        author=ByView(row.author_id, row.author_name),
        state=row.state,
        reason=row.reason,
        state_at=row.state_at,
        uncertain=row.uncertain,
        preview=row.preview,
        content=ContentView(content["parts"], None if reply_to is None else UUID(reply_to), content["purpose"]),
        fallback=row.fallback,
        when=row.asked,
        due_at=row.due_at,
        local=row.local,
        zone=row.zone,
        hold_on_reply=row.hold_on_reply,
        quiet_hours=row.quiet_hours,
        business_hours=row.business_hours,
        when_closed=row.when_closed,
        catch_up=CatchUpView(row.catch_up, row.late_after),
        occurrences=row.occurrences,
        message_id=row.message_id,
        fell_back=row.fell_back,
        handed_at=row.handed_at,
        lateness_ms=row.lateness_ms,
        client_token=row.client_token,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def contact_zone(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> str:
    """The contact's zone, or else the workspace's."""
    zone: str = await unit.fetchval(
        """SELECT coalesce(c.time_zone, w.time_zone) FROM workspaces w
           LEFT JOIN contacts c ON c.workspace_id = w.id AND c.id = $2 WHERE w.id = $1""",
        workspace_id,
        contact_id,
    )
    return zone


async def own_zone(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> str | None:
    """Only the contact's."""
    zone: str | None = await unit.fetchval(
        "SELECT time_zone FROM contacts WHERE workspace_id = $1 AND id = $2", workspace_id, contact_id
    )
    return zone


# --- one -------------------------------------------------------------------------------------------------------------


async def insert(unit: UnitOfWork, workspace_id: UUID, row: Scheduled, fingerprint: bytes) -> None:
    """Raises ``Contended`` when the author used the token in the same moment."""
    values = [getattr(row, name) for name in _OWN]
    places = ", ".join(f"${n}" for n in range(3, len(values) + 3))
    made = await unit.fetchval(
        f"""
        INSERT INTO scheduled_messages (workspace_id, fingerprint, {", ".join(_OWN)}) VALUES ($1, $2, {places})
        ON CONFLICT (workspace_id, author_id, client_token) WHERE client_token IS NOT NULL DO NOTHING RETURNING true
        """,
        workspace_id,
        fingerprint,
        *values,
    )
    if made is None:
        raise Contended("the client token was used in the same moment")


async def save(unit: UnitOfWork, workspace_id: UUID, row: Scheduled) -> None:
    """Write a locked row back, as a new version."""
    row.version += 1
    row.updated_at = await unit.fetchval(
        f"""UPDATE scheduled_messages SET {", ".join(f"{name} = ${n}" for n, name in enumerate(_WRITTEN, 3))},
               updated_at = clock_timestamp() WHERE workspace_id = $1 AND id = $2 RETURNING updated_at""",
        workspace_id,
        row.id,
        *(getattr(row, name) for name in _WRITTEN),
    )


async def find(unit: UnitOfWork, workspace_id: UUID, scheduled_id: UUID) -> Scheduled | None:
    row = await unit.fetchrow(
        f"SELECT {_COLUMNS} FROM {_FROM} WHERE s.workspace_id = $1 AND s.id = $2", workspace_id, scheduled_id
    )
    return None if row is None else _row(row)


async def find_by_token(
    unit: UnitOfWork, workspace_id: UUID, author_id: UUID, token: str
) -> tuple[Scheduled, bytes] | None:
    """With the fingerprint of what was asked then."""
    row = await unit.fetchrow(
        f"""SELECT {_COLUMNS}, s.fingerprint FROM {_FROM}
            WHERE s.workspace_id = $1 AND s.author_id = $2 AND s.client_token = $3""",
        workspace_id,
        author_id,
        token,
    )
    return None if row is None else (Scheduled(*tuple(row)[:-1]), row[-1])


# --- locked ----------------------------------------------------------------------------------------------------------


async def conversations_of(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """To be locked before the rows are."""
    found = await unit.fetch(
        "SELECT DISTINCT conversation_id FROM scheduled_messages WHERE workspace_id = $1 AND id = ANY($2)",
        workspace_id,
        list(ids),
    )
    return [row[0] for row in found]


async def lock(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> list[Scheduled]:
    """In the order of their ids. Their conversations are locked already."""
    found = await unit.fetch(
        f"""SELECT {_COLUMNS} FROM {_FROM} WHERE s.workspace_id = $1 AND s.id = ANY($2)
            ORDER BY s.id FOR UPDATE OF s""",
        workspace_id,
        list(ids),
    )
    return [_row(row) for row in found]


async def lock_where(unit: UnitOfWork, workspace_id: UUID, condition: str, *values: object) -> list[Scheduled]:
    """The same for those that wait and meet a condition on ``s``, ``v`` and ``$2`` onwards."""
    found = await unit.fetch(
        f"""SELECT {_COLUMNS} FROM {_FROM} WHERE s.workspace_id = $1 AND s.state = 'scheduled' AND {condition}
            ORDER BY s.id FOR UPDATE OF s""",
        workspace_id,
        *values,
    )
    return [_row(row) for row in found]


async def waits_in(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> bool:
    waits: bool = await unit.fetchval(
        """SELECT EXISTS (SELECT FROM scheduled_messages
           WHERE workspace_id = $1 AND conversation_id = $2 AND state = 'scheduled')""",
        workspace_id,
        conversation_id,
    )
    return waits


async def places_waiting(unit: UnitOfWork, workspace_id: UUID, condition: str, *values: object) -> list[UUID]:
    """Conversations in which something waits, by a condition on ``v`` and ``$2`` onwards. Nothing is locked."""
    found = await unit.fetch(
        f"""SELECT DISTINCT v.id FROM {_FROM} WHERE s.workspace_id = $1 AND s.state = 'scheduled' AND {condition}""",
        workspace_id,
        *values,
    )
    return [row[0] for row in found]


async def in_wrong_zone(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID | None, limit: int) -> list[UUID]:
    """What waits by another zone than the one that counts for its contact now. ``contact_id`` null: all contacts."""
    # Two texts, so that each is planned for what it asks: one contact is asked about at each of its changes.
    whose = "$2::uuid IS NULL" if contact_id is None else "v.contact_id = $2"
    found = await unit.fetch(
        f"""
        SELECT s.id FROM {_FROM}
        JOIN contacts c ON c.workspace_id = s.workspace_id AND c.id = v.contact_id
        JOIN workspaces w ON w.id = s.workspace_id
        WHERE s.workspace_id = $1 AND s.state = 'scheduled' AND {whose}
          AND s.plan->>'type' <> 'at' AND s.plan->>'zone' IS NULL AND NOT s.by_hand
          AND s.zone <> coalesce(c.time_zone, w.time_zone)
        ORDER BY s.id LIMIT $3
        """,
        workspace_id,
        contact_id,
        limit,
    )
    return [row[0] for row in found]


async def follow_thread(unit: UnitOfWork, workspace_id: UUID, merged: UUID, target: UUID) -> None:
    """The rows of a thread that became part of another. Numbers changed; what the author knew is told by the time."""
    await unit.execute(
        """
        UPDATE scheduled_messages s SET conversation_id = $3, hold_after_number = coalesce((
            SELECT max(m.number) FROM messages m WHERE m.workspace_id = $1 AND m.conversation_id = $3
               AND m.direction = 'in' AND m.created_at <= s.anchored_at
        ), 0) WHERE s.workspace_id = $1 AND s.conversation_id = ANY($2)
        """,
        workspace_id,
        [merged, target],
        target,
    )


async def ids_in(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> set[UUID]:
    """Also of a thread that is gone already."""
    found = await unit.fetch(
        "SELECT id FROM scheduled_messages WHERE workspace_id = $1 AND conversation_id = $2",
        workspace_id,
        conversation_id,
    )
    return {row[0] for row in found}


async def of_thread(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> list[Scheduled]:
    found = await unit.fetch(
        f"SELECT {_COLUMNS} FROM {_FROM} WHERE s.workspace_id = $1 AND s.conversation_id = $2 ORDER BY s.id",
        workspace_id,
        conversation_id,
    )
    return [_row(row) for row in found]


async def held_by_block(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> list[Scheduled]:
    """In the order of their times."""
    found = await unit.fetch(
        f"""SELECT {_COLUMNS} FROM {_FROM} WHERE s.workspace_id = $1 AND v.contact_id = $2 AND s.state = 'held'
            AND s.reason = 'blocked' ORDER BY s.due_at, s.id""",
        workspace_id,
        contact_id,
    )
    return [_row(row) for row in found]


# --- lists -----------------------------------------------------------------------------------------------------------


async def page(
    unit: UnitOfWork,
    workspace_id: UUID,
    *,
    conditions: Sequence[tuple[str, object]],
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Scheduled]:
    """The earliest first. ``conditions``: such as ``s.author_id = {}``, with the value that fills it."""
    wanted, values = ["s.workspace_id = $1"], [workspace_id, limit]
    for condition, value in conditions:
        values.append(value)
        wanted.append(condition.format(f"${len(values)}"))
    if after is not None:
        values += after
        wanted.append(f"(s.due_at, s.id) > (${len(values) - 1}, ${len(values)})")
    found = await unit.fetch(
        f"SELECT {_COLUMNS} FROM {_FROM} WHERE {' AND '.join(wanted)} ORDER BY s.due_at, s.id LIMIT $2", *values
    )
    return [_row(row) for row in found]
