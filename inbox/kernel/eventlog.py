"""The dense, ordered event log of each workspace.

Invariant: a reader that has seen position *p* can never later find a new event at or below *p*. The counter row of the
workspace is bumped and the events inserted by the last statement of the transaction; the row lock is held until the
commit, so numbers become visible in the order in which they were given (docs/event-log.md). Only this module gives
positions, and nothing does I/O between ``append`` and COMMIT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg
from sqlalchemy import JSON, BigInteger, Column, DateTime, Index, SmallInteger, Table, Text, Uuid, func

from inbox.kernel.connection import Connection
from inbox.kernel.encoding import encode
from inbox.kernel.schema import identifier, metadata

event_logs = Table(
    "event_logs",
    metadata,
    identifier("workspace_id"),
    Column("epoch", Uuid, nullable=False),
    Column("head", BigInteger, nullable=False, server_default="0"),
    Column("floor", BigInteger, nullable=False, server_default="0"),
)
"""``head``: the last position given. ``floor``: the last position that retention removed; resume works above it."""

events = Table(
    "events",
    metadata,
    identifier("workspace_id"),
    Column("position", BigInteger, primary_key=True),
    Column("created_at", DateTime(timezone=True), primary_key=True, server_default=func.now()),
    Column("kind", Text, nullable=False),
    Column("conversation_id", Uuid),
    Column("audience", SmallInteger, nullable=False, server_default="0"),
    Column("holder_id", Uuid),
    Column("payload", JSON, nullable=False),
    Index("ix_events_conversation", "workspace_id", "conversation_id", "position"),
    info={"period": "week"},
    postgresql_partition_by="RANGE (created_at)",
)

Audience = Literal[0, 1]
EVERYONE: Audience = 0
"""Everybody of the workspace who may see the conversation."""
SUPERVISORS: Audience = 1
"""Supervisors and admins only: what blocked contacts send, for example."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry before it has a position. ``payload`` is the encoded JSON object of ``data``.

    ``data`` is what reactions look at, as it was when it was encoded; parts that were encoded before are in it as they
    are. It is not stored, and not known of what was read back. ``holder_id``: the program that held the conversation
    when this was said, or that it is about; a program sees what it held, and nothing else (P10).
    """

    workspace_id: UUID
    kind: str
    payload: bytes
    conversation_id: UUID | None = None
    audience: Audience = EVERYONE
    data: object = field(default=None, repr=False, compare=False)
    holder_id: UUID | None = None

    @classmethod
    def of(
        cls,
        workspace_id: UUID,
        kind: str,
        data: object,
        conversation_id: UUID | None = None,
        *,
        audience: Audience = EVERYONE,
        holder_id: UUID | None = None,
    ) -> Event:
        return cls(workspace_id, kind, encode(data), conversation_id, audience, data, holder_id)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    workspace_id: UUID
    position: int
    created_at: datetime
    kind: str
    payload: str
    conversation_id: UUID | None
    audience: int
    holder_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class LogState:
    epoch: UUID
    head: int
    floor: int


Listener = Callable[[UUID, list[StoredEvent]], None]


class EventLog:
    """Append to and read the logs. Listeners are handed what each commit of this process added, in no certain order."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def append(self, connection: Connection, entries: Sequence[Event]) -> list[StoredEvent]:
        """Number and insert, one statement a workspace, in the order of workspace ids. The caller commits at once."""
        by_workspace: dict[UUID, list[Event]] = {}
        for entry in entries:
            by_workspace.setdefault(entry.workspace_id, []).append(entry)
        stored: list[StoredEvent] = []
        for workspace_id in sorted(by_workspace):
            group = by_workspace[workspace_id]
            payloads = [entry.payload.decode() for entry in group]
            row = await connection.fetchrow(
                APPEND,
                workspace_id,
                len(group),
                [entry.kind for entry in group],
                [entry.conversation_id for entry in group],
                [entry.audience for entry in group],
                payloads,
                [entry.holder_id for entry in group],
            )
            if row is None:
                raise LookupError(f"workspace {workspace_id} has no event log")
            stored.extend(
                StoredEvent(
                    workspace_id,
                    row[0] + ordinal,
                    row[1],
                    entry.kind,
                    payload,
                    entry.conversation_id,
                    entry.audience,
                    entry.holder_id,
                )
                for ordinal, (entry, payload) in enumerate(zip(group, payloads, strict=True), 1)
            )
        return stored

    def committed(self, stored: Sequence[StoredEvent]) -> None:
        by_workspace: dict[UUID, list[StoredEvent]] = {}
        for event in stored:
            by_workspace.setdefault(event.workspace_id, []).append(event)
        for workspace_id, group in by_workspace.items():
            for listener in self._listeners:
                listener(workspace_id, group)

    async def state(self, connection: Connection, workspace_id: UUID) -> LogState:
        row = await connection.fetchrow(STATE, workspace_id)
        if row is None:
            raise LookupError(f"workspace {workspace_id} has no event log")
        return LogState(epoch=row["epoch"], head=row["head"], floor=row["floor"])

    async def read(
        self, connection: Connection, workspace_id: UUID, *, after: int, upto: int | None = None, limit: int = 500
    ) -> list[StoredEvent]:
        """Events with ``after`` < position (≤ ``upto``), in order, at most ``limit``."""
        rows = await connection.fetch(READ, workspace_id, after, upto, limit)
        return [stored_event(workspace_id, row) for row in rows]


def stored_event(workspace_id: UUID, row: asyncpg.Record) -> StoredEvent:
    """Of a row of ``EVENT_COLUMNS``."""
    return StoredEvent(
        workspace_id=workspace_id,
        position=row[0],
        created_at=row[1],
        kind=row[2],
        conversation_id=row[3],
        audience=row[4],
        payload=row[5],
        holder_id=row[6],
    )


EVENT_COLUMNS = "position, created_at, kind, conversation_id, audience, payload, holder_id"


APPEND = """
WITH bumped AS (
    UPDATE event_logs SET head = head + $2 WHERE workspace_id = $1 RETURNING head - $2 AS base
), inserted AS (
    INSERT INTO events (workspace_id, position, kind, conversation_id, audience, payload, holder_id)
    SELECT $1, bumped.base + entry.ordinal, entry.kind, entry.conversation_id, entry.audience, entry.payload,
        entry.holder_id
    FROM bumped, unnest($3::text[], $4::uuid[], $5::smallint[], $6::json[], $7::uuid[]) WITH ORDINALITY
         AS entry (kind, conversation_id, audience, payload, holder_id, ordinal)
)
SELECT base, now() FROM bumped
"""

STATE = "SELECT epoch, head, floor FROM event_logs WHERE workspace_id = $1"

READ = f"""
SELECT {EVENT_COLUMNS} FROM events
WHERE workspace_id = $1 AND position > $2 AND ($3::bigint IS NULL OR position <= $3)
ORDER BY position LIMIT $4
"""
