"""All SQL of a node that delivers: which subscriptions it holds, and how far they are.

Invariant: only the holder of the lease moves the cursor and the lanes. Attempts are logged whoever made them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork
from inbox.kernel.eventlog import EVENT_COLUMNS, LogState, StoredEvent, stored_event
from inbox.subscriptions.lanes import NO_CONVERSATION, Parked
from inbox.subscriptions.repository import COLUMNS, JOINED, SubscriptionRow
from inbox.subscriptions.schemas import Outcome, Purpose


@dataclass(frozen=True, slots=True)
class Lease:
    """One claim of one subscription; its token is never used again."""

    workspace_id: UUID
    subscription_id: UUID
    token: UUID


@dataclass(frozen=True, slots=True)
class Claimed:
    row: SubscriptionRow
    log: LogState
    lanes: Sequence[Parked]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a subscription stands: what is written of it at one time."""

    lease: Lease
    version: int
    cursor: int
    failures: int
    failing_since: datetime | None
    stalled: bool
    due_at: datetime | None
    release: bool
    changed: Sequence[Parked]
    removed: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An entry of the delivery log, before it is stored."""

    workspace_id: UUID
    subscription_id: UUID
    id: UUID
    attempted_at: datetime
    purpose: Purpose
    message_id: str
    position: int | None
    kind: str
    conversation_id: UUID | None
    attempt: int
    outcome: Outcome
    status: int | None
    error: str | None
    milliseconds: int
    bytes: int
    answer: str
    next_at: datetime | None


async def claim(
    unit: UnitOfWork,
    token: UUID,
    now: datetime,
    *,
    most: int,
    lease_seconds: float,
    workspaces: Collection[UUID] | None,
) -> list[Claimed]:
    """Take on subscriptions that have something to do and that nobody holds. ``workspaces`` None: of all."""
    taken = await unit.fetch(CLAIM, token, most, now, lease_seconds, None if workspaces is None else list(workspaces))
    if not taken:
        return []
    rows = await unit.fetch(CLAIMED, [row[0] for row in taken], [row[1] for row in taken])
    lanes = await load_lanes(unit.connection, [(row["workspace_id"], row["id"]) for row in rows])
    width = len(SubscriptionRow.__dataclass_fields__)
    return [
        Claimed(SubscriptionRow(*tuple(row)[:width]), LogState(*tuple(row)[width:]), lanes.get(row["id"], []))
        for row in rows
    ]


async def load_lanes(connection: Connection, keys: Sequence[tuple[UUID, UUID]]) -> dict[UUID, list[Parked]]:
    """By subscription id. ``keys``: workspace and subscription."""
    found = await connection.fetch(LANES, [key[0] for key in keys], [key[1] for key in keys])
    lanes: dict[UUID, list[Parked]] = {}
    for row in found:
        parked = Parked(row["lane"], row["position"], row["next_at"], row["upto"], row["attempts"])
        parked.tried_at, parked.failing_since = row["tried_at"], row["failing_since"]
        lanes.setdefault(row["subscription_id"], []).append(parked)
    return lanes


async def held(connection: Connection, leases: Sequence[Lease]) -> dict[UUID, SubscriptionRow]:
    """How the subscriptions of these leases look now; those whose lease was lost or ended are left out."""
    found = await connection.fetch(HELD, *_columns(leases))
    return {row["id"]: SubscriptionRow(*row) for row in found}


async def heads(connection: Connection, workspaces: Collection[UUID]) -> dict[UUID, LogState]:
    found = await connection.fetch(HEADS, list(workspaces))
    return {row[0]: LogState(row[1], row[2], row[3]) for row in found}


async def save(unit: UnitOfWork, progress: Sequence[Progress], lease_seconds: float) -> set[UUID]:
    """Write how far they are, and prolong or give back their leases. Returns the ids of those whose lease held.

    Where something was changed from outside meanwhile, the time to look at it that was set then is kept.
    """
    rows = await unit.fetch(
        SAVE,
        *_columns([one.lease for one in progress]),
        [one.cursor for one in progress],
        [one.failures for one in progress],
        [one.failing_since for one in progress],
        [one.stalled for one in progress],
        [one.due_at for one in progress],
        [one.release for one in progress],
        lease_seconds,
        [one.version for one in progress],
    )
    kept = {row[0] for row in rows}
    ours = [one for one in progress if one.lease.subscription_id in kept]
    changed = [(one.lease, lane) for one in ours for lane in one.changed]
    removed = [(one.lease, lane) for one in ours for lane in one.removed]
    if changed:
        await unit.execute(
            SET_LANES,
            [lease.workspace_id for lease, _ in changed],
            [lease.subscription_id for lease, _ in changed],
            [lane.lane for _, lane in changed],
            [lane.position for _, lane in changed],
            [lane.upto for _, lane in changed],
            [lane.attempts for _, lane in changed],
            [lane.next_at for _, lane in changed],
            [lane.tried_at for _, lane in changed],
            [lane.failing_since for _, lane in changed],
        )
    if removed:
        await unit.execute(
            DELETE_LANES,
            [lease.workspace_id for lease, _ in removed],
            [lease.subscription_id for lease, _ in removed],
            [lane for _, lane in removed],
        )
    return kept


async def log_attempts(unit: UnitOfWork, rows: Sequence[AttemptRow]) -> None:
    await unit.connection.copy_records_to_table(
        "subscription_attempts",
        columns=tuple(AttemptRow.__dataclass_fields__),
        records=[tuple(getattr(row, name) for name in AttemptRow.__dataclass_fields__) for row in rows],
    )


async def lane_events(connection: Connection, workspace_id: UUID, parked: Parked, most: int) -> list[StoredEvent]:
    """The next events of a parked lane, up to the last that is known to be in it."""
    if parked.upto is not None:
        rows = await connection.fetch(REPLAYED, workspace_id, parked.position, parked.last, most)
    elif parked.lane == NO_CONVERSATION:
        rows = await connection.fetch(OF_NONE, workspace_id, parked.position, parked.last, most)
    else:
        rows = await connection.fetch(OF_CONVERSATION, workspace_id, parked.position, parked.last, most, parked.lane)
    return [stored_event(workspace_id, row) for row in rows]


async def start_again(unit: UnitOfWork, lease: Lease, log: LogState, *, rebuilt: bool) -> SubscriptionRow | None:
    """Move a cursor that is of no use: behind the head of a new log, or to what retention has left."""
    cursor = log.head if rebuilt else log.floor
    moved = await unit.fetchval(MOVE, lease.workspace_id, lease.subscription_id, lease.token, log.epoch, cursor)
    if moved is None:
        return None
    if rebuilt:
        await unit.execute(DROP_LANES, lease.workspace_id, lease.subscription_id)
    else:
        await unit.execute(RAISE_LANES, lease.workspace_id, lease.subscription_id, log.floor)
    row = await unit.fetchrow(
        f"SELECT {COLUMNS} FROM {JOINED} WHERE s.workspace_id = $1 AND s.id = $2",
        lease.workspace_id,
        lease.subscription_id,
    )
    return None if row is None else SubscriptionRow(*row)


async def give_back(unit: UnitOfWork, lease: Lease) -> None:
    await unit.execute(GIVE_BACK, lease.workspace_id, lease.subscription_id, lease.token)


def _columns(leases: Sequence[Lease]) -> tuple[list[UUID], list[UUID], list[UUID]]:
    return (
        [one.workspace_id for one in leases],
        [one.subscription_id for one in leases],
        [one.token for one in leases],
    )


CLAIM = """
WITH due AS (
    SELECT s.workspace_id, s.id FROM subscriptions s JOIN event_logs l ON l.workspace_id = s.workspace_id
    WHERE s.state = 'enabled' AND (s.leased_until IS NULL OR s.leased_until < now())
      AND ($5::uuid[] IS NULL OR s.workspace_id = ANY($5))
      AND (s.due_at <= $3 OR (NOT s.stalled AND (l.head <> s.cursor OR l.epoch <> s.epoch)))
    ORDER BY random() LIMIT $2 FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE subscriptions s SET lease = $1, leased_until = now() + make_interval(secs => $4)
FROM due WHERE s.workspace_id = due.workspace_id AND s.id = due.id RETURNING s.workspace_id, s.id
"""

CLAIMED = f"""
SELECT {COLUMNS}, l.epoch AS log_epoch, l.head, l.floor FROM {JOINED}
JOIN unnest($1::uuid[], $2::uuid[]) AS taken (workspace_id, id) ON s.workspace_id = taken.workspace_id
    AND s.id = taken.id
JOIN event_logs l ON l.workspace_id = s.workspace_id
"""

LANES = """
SELECT l.subscription_id, l.lane, l.position, l.upto, l.attempts, l.next_at, l.tried_at, l.failing_since
FROM subscription_lanes l JOIN unnest($1::uuid[], $2::uuid[]) AS taken (workspace_id, id)
    ON l.workspace_id = taken.workspace_id AND l.subscription_id = taken.id
"""

HELD = f"""
SELECT {COLUMNS} FROM {JOINED}
JOIN unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS held (workspace_id, id, lease)
    ON s.workspace_id = held.workspace_id AND s.id = held.id AND s.lease = held.lease
WHERE s.state = 'enabled'
"""

HEADS = "SELECT workspace_id, epoch, head, floor FROM event_logs WHERE workspace_id = ANY($1::uuid[])"

SAVE = """
UPDATE subscriptions s SET cursor = p.cursor, failures = p.failures, failing_since = p.failing_since,
    stalled = p.stalled, due_at = CASE WHEN s.version = p.version THEN p.due_at ELSE least(p.due_at, s.due_at) END,
    lease = CASE WHEN p.release THEN NULL ELSE s.lease END,
    leased_until = CASE WHEN p.release THEN NULL ELSE now() + make_interval(secs => $10) END
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::int[], $6::timestamptz[], $7::bool[],
            $8::timestamptz[], $9::bool[], $11::int[])
     AS p (workspace_id, id, lease, cursor, failures, failing_since, stalled, due_at, release, version)
WHERE s.workspace_id = p.workspace_id AND s.id = p.id AND s.lease = p.lease AND s.state = 'enabled'
RETURNING s.id
"""

SET_LANES = """
INSERT INTO subscription_lanes (workspace_id, subscription_id, lane, position, upto, attempts, next_at, tried_at,
    failing_since)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::int[], $7::timestamptz[],
    $8::timestamptz[], $9::timestamptz[])
ON CONFLICT (workspace_id, subscription_id, lane) DO UPDATE SET position = excluded.position,
    attempts = excluded.attempts, next_at = excluded.next_at, tried_at = excluded.tried_at,
    failing_since = excluded.failing_since
"""

DELETE_LANES = """
DELETE FROM subscription_lanes l USING unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS gone (workspace_id, id, lane)
WHERE l.workspace_id = gone.workspace_id AND l.subscription_id = gone.id AND l.lane = gone.lane
"""

_EVENTS = f"""
SELECT {EVENT_COLUMNS} FROM events
WHERE workspace_id = $1 AND position >= $2 AND position <= $3{{also}} ORDER BY position LIMIT $4
"""
REPLAYED = _EVENTS.format(also="")
OF_NONE = _EVENTS.format(also=" AND conversation_id IS NULL")
OF_CONVERSATION = _EVENTS.format(also=" AND conversation_id = $5")

MOVE = """
UPDATE subscriptions SET epoch = $4, cursor = $5
WHERE workspace_id = $1 AND id = $2 AND lease = $3 RETURNING true
"""
DROP_LANES = "DELETE FROM subscription_lanes WHERE workspace_id = $1 AND subscription_id = $2"
RAISE_LANES = """
UPDATE subscription_lanes SET position = $3 + 1 WHERE workspace_id = $1 AND subscription_id = $2 AND position <= $3
"""
GIVE_BACK = """
UPDATE subscriptions SET lease = NULL, leased_until = NULL WHERE workspace_id = $1 AND id = $2 AND lease = $3
"""
