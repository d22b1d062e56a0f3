"""All SQL about subscriptions as their admins see them. What running nodes write is in ``leases``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from inbox.agents.principal import Role
from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork
from inbox.kernel.ids import new_id
from inbox.subscriptions.schemas import AttemptView, Outcome, Reason, State


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """``url`` and ``secrets`` are sealed. The last three tell whose eyes it reads with."""

    workspace_id: UUID
    id: UUID
    agent_id: UUID
    name: str
    url: bytes = field(repr=False)
    origin: str
    secrets: bytes = field(repr=False)
    kinds: Sequence[str] | None
    state: State
    reason: Reason | None
    epoch: UUID
    cursor: int
    failures: int
    failing_since: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime | None
    agent_name: str
    role: Role
    agent_disabled: bool


COLUMNS = """s.workspace_id, s.id, s.agent_id, s.name, s.url, s.origin, s.secrets, s.kinds, s.state, s.reason, s.epoch,
    s.cursor, s.failures, s.failing_since, s.version, s.created_at, s.updated_at, a.name AS agent_name, a.role,
    a.disabled_at IS NOT NULL AS agent_disabled"""
JOINED = "subscriptions s JOIN agents a ON a.workspace_id = s.workspace_id AND a.id = s.agent_id"


async def find(
    connection: Connection, workspace_id: UUID, subscription_id: UUID, *, lock: bool = False
) -> SubscriptionRow | None:
    """``lock``: changes, also those of a running node, wait until the transaction ends."""
    row = await connection.fetchrow(
        f"""SELECT {COLUMNS} FROM {JOINED} WHERE s.workspace_id = $1 AND s.id = $2
            {"FOR NO KEY UPDATE OF s" if lock else ""}""",
        workspace_id,
        subscription_id,
    )
    return None if row is None else SubscriptionRow(*row)


async def page(connection: Connection, workspace_id: UUID, *, after: UUID | None, limit: int) -> list[SubscriptionRow]:
    """Oldest first, above ``after``."""
    found = await connection.fetch(
        f"""SELECT {COLUMNS} FROM {JOINED} WHERE s.workspace_id = $1 AND ($2::uuid IS NULL OR s.id > $2)
            ORDER BY s.id LIMIT $3""",
        workspace_id,
        after,
        limit,
    )
    return [SubscriptionRow(*row) for row in found]


async def insert(
    unit: UnitOfWork,
    workspace_id: UUID,
    subscription_id: UUID,
    *,
    agent_id: UUID,
    name: str,
    url: bytes,
    origin: str,
    secrets: bytes,
    kinds: Sequence[str] | None,
) -> SubscriptionRow | None:
    """Begins at the head of the log. ``None``: there is no such agent who may log in or act."""
    made = await unit.fetchval(
        """
        INSERT INTO subscriptions (workspace_id, id, agent_id, name, url, origin, secrets, kinds, epoch, cursor)
        SELECT $1, $2, a.id, $4, $5, $6, $7, $8, l.epoch, l.head
        FROM agents a JOIN event_logs l ON l.workspace_id = a.workspace_id
        WHERE a.workspace_id = $1 AND a.id = $3 AND a.disabled_at IS NULL
        RETURNING true
        """,
        workspace_id,
        subscription_id,
        agent_id,
        name,
        url,
        origin,
        secrets,
        kinds,
    )
    return await find(unit.connection, workspace_id, subscription_id) if made else None


async def count(unit: UnitOfWork, workspace_id: UUID) -> int:
    found: int = await unit.fetchval("SELECT count(*) FROM subscriptions WHERE workspace_id = $1", workspace_id)
    return found


async def update(
    unit: UnitOfWork, workspace_id: UUID, subscription_id: UUID, fields: Mapping[str, object]
) -> SubscriptionRow:
    """``fields``: columns with their values. A running node notices by the version."""
    assignments = "".join(f"{column} = ${n}, " for n, column in enumerate(fields, 3))
    await unit.execute(
        f"""UPDATE subscriptions SET {assignments}version = version + 1, updated_at = now()
            WHERE workspace_id = $1 AND id = $2""",
        workspace_id,
        subscription_id,
        *fields.values(),
    )
    row = await find(unit.connection, workspace_id, subscription_id)
    assert row is not None
    return row


async def disable(
    unit: UnitOfWork, workspace_id: UUID, subscription_id: UUID, reason: Reason, *, lease: UUID | None = None
) -> SubscriptionRow | None:
    """Ends the lease as well. With ``lease`` only for the node that holds it. ``None``: it was disabled already."""
    done = await unit.fetchval(
        """UPDATE subscriptions SET state = 'disabled', reason = $3, lease = NULL, leased_until = NULL, due_at = NULL,
               updated_at = now()
           WHERE workspace_id = $1 AND id = $2 AND state = 'enabled' AND ($4::uuid IS NULL OR lease = $4)
           RETURNING true""",
        workspace_id,
        subscription_id,
        reason,
        lease,
    )
    return await find(unit.connection, workspace_id, subscription_id) if done else None


async def enable(
    unit: UnitOfWork, workspace_id: UUID, subscription_id: UUID, now: datetime, *, skip: bool
) -> SubscriptionRow:
    """With nothing held against it. ``skip``: what waited is dropped, and it begins at the head of the log."""
    await unit.execute(
        """UPDATE subscriptions s SET state = 'enabled', reason = NULL, failures = 0, failing_since = NULL,
               stalled = false, due_at = $3, updated_at = now(),
               cursor = CASE WHEN $4 THEN l.head ELSE s.cursor END, epoch = CASE WHEN $4 THEN l.epoch ELSE s.epoch END
           FROM event_logs l WHERE l.workspace_id = $1 AND s.workspace_id = $1 AND s.id = $2""",
        workspace_id,
        subscription_id,
        now,
        skip,
    )
    if skip:
        await unit.execute(
            "DELETE FROM subscription_lanes WHERE workspace_id = $1 AND subscription_id = $2",
            workspace_id,
            subscription_id,
        )
    else:
        await unit.execute(
            """UPDATE subscription_lanes SET next_at = $3, attempts = 0, failing_since = NULL
               WHERE workspace_id = $1 AND subscription_id = $2""",
            workspace_id,
            subscription_id,
            now,
        )
    row = await find(unit.connection, workspace_id, subscription_id)
    assert row is not None
    return row


async def delete(unit: UnitOfWork, workspace_id: UUID, subscription_id: UUID) -> bool:
    gone = await unit.fetchval(
        "DELETE FROM subscriptions WHERE workspace_id = $1 AND id = $2 RETURNING true", workspace_id, subscription_id
    )
    return bool(gone)


# --- replays ----------------------------------------------------------------------------------------------------------


async def replays(unit: UnitOfWork, workspace_id: UUID, subscription_id: UUID) -> int:
    found: int = await unit.fetchval(
        """SELECT count(*) FROM subscription_lanes
           WHERE workspace_id = $1 AND subscription_id = $2 AND upto IS NOT NULL""",
        workspace_id,
        subscription_id,
    )
    return found


async def insert_replay(
    unit: UnitOfWork, workspace_id: UUID, subscription_id: UUID, now: datetime, *, first: int, last: int
) -> UUID:
    lane = new_id()
    await unit.execute(
        """INSERT INTO subscription_lanes (workspace_id, subscription_id, lane, position, upto, next_at)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        workspace_id,
        subscription_id,
        lane,
        first,
        last,
        now,
    )
    await unit.execute(
        """UPDATE subscriptions SET version = version + 1, due_at = least(due_at, $3)
           WHERE workspace_id = $1 AND id = $2""",
        workspace_id,
        subscription_id,
        now,
    )
    return lane


async def try_now(unit: UnitOfWork, workspace_id: UUID, subscription_id: UUID, now: datetime) -> None:
    """The receiver is well: what waits behind failures need not wait for its time."""
    await unit.execute(
        """WITH ours AS (
               UPDATE subscriptions SET version = version + 1, due_at = $3
               WHERE workspace_id = $1 AND id = $2 AND state = 'enabled' RETURNING id
           )
           UPDATE subscription_lanes l SET next_at = $3 FROM ours
           WHERE l.workspace_id = $1 AND l.subscription_id = ours.id AND l.next_at > $3""",
        workspace_id,
        subscription_id,
        now,
    )


# --- figures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OutFigures:
    """``states``: how many subscriptions, by state and reason (empty: none)."""

    states: Mapping[tuple[str, str], int]
    oldest_seconds: float
    lanes: int


async def figures(connection: Connection) -> OutFigures:
    """Of the whole installation."""
    states = await connection.fetch("SELECT state, coalesce(reason, ''), count(*) FROM subscriptions GROUP BY 1, 2")
    row = await connection.fetchrow(
        """
        WITH next AS (
            SELECT s.workspace_id, s.cursor + 1 AS position FROM subscriptions s
            JOIN event_logs l ON l.workspace_id = s.workspace_id
            WHERE s.state = 'enabled' AND l.epoch = s.epoch AND l.head > s.cursor
            UNION
            SELECT n.workspace_id, n.position FROM subscription_lanes n
            JOIN subscriptions s ON s.workspace_id = n.workspace_id AND s.id = n.subscription_id
            WHERE s.state = 'enabled' AND n.upto IS NULL
        )
        SELECT coalesce(extract(epoch FROM now() - min(e.created_at)), 0)::float8,
            (SELECT count(*) FROM subscription_lanes WHERE upto IS NULL)
        FROM next JOIN events e ON e.workspace_id = next.workspace_id AND e.position = next.position
        """
    )
    assert row is not None
    return OutFigures({(found[0], found[1]): found[2] for found in states}, max(0.0, row[0]), row[1])


# --- the delivery log -------------------------------------------------------------------------------------------------

ATTEMPT = """id, attempted_at, purpose, message_id, position, kind, conversation_id, attempt, outcome, status, error,
    milliseconds, bytes, answer, next_at"""


async def attempts(
    connection: Connection,
    workspace_id: UUID,
    subscription_id: UUID,
    *,
    outcome: Outcome | None,
    before: UUID | None,
    limit: int,
) -> list[AttemptView]:
    """Newest first, below ``before``."""
    found = await connection.fetch(
        f"""SELECT {ATTEMPT} FROM subscription_attempts
            WHERE workspace_id = $1 AND subscription_id = $2 AND ($3::uuid IS NULL OR id < $3)
              AND ($4::text IS NULL OR outcome = $4)
            ORDER BY id DESC LIMIT $5""",
        workspace_id,
        subscription_id,
        before,
        outcome,
        limit,
    )
    return [attempt(row) for row in found]


async def find_attempt(
    connection: Connection, workspace_id: UUID, subscription_id: UUID, attempt_id: UUID
) -> AttemptView | None:
    row = await connection.fetchrow(
        f"""SELECT {ATTEMPT} FROM subscription_attempts
            WHERE workspace_id = $1 AND subscription_id = $2 AND id = $3""",
        workspace_id,
        subscription_id,
        attempt_id,
    )
    return None if row is None else attempt(row)


def attempt(row: asyncpg.Record) -> AttemptView:
    return AttemptView(*row)
