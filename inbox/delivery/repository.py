"""The SQL of claiming: finding due work, locking it, loading what the gate decides on, marking it as in the air.

A claim waits for nothing but the bucket of its channel, which it locks first: conversations, contacts, identities and
channels are taken with ``SKIP LOCKED``, and what somebody holds is left for the next round. So claims cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from inbox.delivery.rates import CHANNEL, Bucket, Limit
from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork

IN_LINE = "'infinity'::timestamptz"
"""``due_at`` of a queued delivery that another one of its conversation stands before: it becomes due when that leaves.

So a long line costs each of its members one look, not one at every claim (``stand_in_line``, ``call_next``).
"""

ASLEEP = """{o}.quiet IS NOT NULL AND EXISTS (
    SELECT FROM deliveries p WHERE p.workspace_id = {o}.workspace_id AND p.message_id = {o}.message_id
       AND p.ordinal <= {o}.ordinal AND p.state = 'queued' AND p.due_at > clock_timestamp() AND p.due_at < 'infinity'
)"""
"""A queued delivery that waits, or whose message does, for the end of a quiet time: other messages pass it by.

Without that, a person who answers at night would wait for the morning behind what a program wanted to say.
"""

DEADLINE = "coalesce(d.expires_at, d.created_at + interval '24 hours')"
"""When a delivery that nobody gave a deadline stops waiting (P5)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queued work of one channel and priority: when its first delivery is due, and whether the channel may send."""

    workspace_id: UUID
    channel_id: UUID
    priority: int
    due_at: datetime
    due: bool
    paused_until: datetime | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A locked delivery with everything that the gate and the adapter need."""

    id: UUID
    message_id: UUID
    conversation_id: UUID
    identity_id: UUID
    channel_id: UUID
    ordinal: int
    piece: dict[str, Any]
    purpose: str
    priority: int
    lease_epoch: int | None
    deadline: datetime
    reply_to: str | None
    template: bool
    hold_after_number: int | None
    stop_when_closed: bool
    quiet: dict[str, Any] | None
    conversation_epoch: int
    conversation_status: str
    last_inbound_number: int
    window_opened_at: datetime | None
    window_closed_at: datetime | None
    blocked: bool
    unreachable: str | None
    marketing_stopped: bool
    is_group: bool
    channel_state: str
    channel_health: str
    first: bool
    """Nothing of its conversation stands before it or is in the air."""
    addresses: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Begun:
    """A try that is in the air from the commit on."""

    delivery_id: UUID
    attempt: int
    """Number of the row in ``delivery_attempts``."""
    tries: int
    """How many count against the cap, this one included: throttled tries do not."""


async def waiting(connection: Connection) -> list[Waiting]:
    """One row per channel and priority that has queued deliveries, without reading more than its first entry each."""
    return [Waiting(*row) for row in await connection.fetch(WAITING)]


async def unfinished(connection: Connection) -> dict[str, int]:
    """How many deliveries are queued, in the air or uncertain; for operators."""
    found = await connection.fetch(
        # Each state by its name in the text, so that its partial index answers and not the whole table.
        " UNION ALL ".join(
            f"SELECT '{state}', count(*) FROM deliveries WHERE state = '{state}'"
            for state in ("queued", "sending", "uncertain")
        )
    )
    return {row[0]: row[1] for row in found}


async def lock_channel_buckets(
    unit: UnitOfWork, workspace_id: UUID, channel_ids: Sequence[UUID]
) -> tuple[datetime, dict[UUID, asyncpg.Record]]:
    """Lock the general bucket of each channel, in order, making those that are missing. Also the database's time."""
    ids = sorted(channel_ids)
    found = await unit.fetch(LOCK_BUCKETS, workspace_id, ids)
    if len(found) < len(ids):
        await unit.execute(
            """INSERT INTO rate_buckets (workspace_id, channel_id, key, tokens, filled_at)
               SELECT $1, c.id, 'channel', 0, '-infinity' FROM unnest($2::uuid[]) AS c (id) ON CONFLICT DO NOTHING""",
            workspace_id,
            ids,
        )
        found = await unit.fetch(LOCK_BUCKETS, workspace_id, ids)
    # Only now: what was written while this waited for the locks is in the past.
    now: datetime = await unit.fetchval("SELECT clock_timestamp()")
    return now, {row["channel_id"]: row for row in found}


async def find_buckets(
    unit: UnitOfWork, workspace_id: UUID, wanted: Sequence[tuple[UUID, str, Limit]], now: datetime
) -> dict[tuple[UUID, str], Bucket]:
    """Buckets of these (channel, key); the ones without a row are full."""
    found = await unit.fetch(
        """SELECT b.channel_id, b.key, b.tokens, b.filled_at, b.paused_until
           FROM unnest($2::uuid[], $3::text[]) AS w (channel_id, key)
           JOIN rate_buckets b ON b.workspace_id = $1 AND b.channel_id = w.channel_id AND b.key = w.key""",
        workspace_id,
        [channel_id for channel_id, _, _ in wanted],
        [key for _, key, _ in wanted],
    )
    stored = {(row["channel_id"], row["key"]): row for row in found}
    buckets = {}
    for channel_id, key, limit in wanted:
        row = stored.get((channel_id, key))
        bucket = (
            Bucket(key, limit, limit.burst, now)
            if row is None
            else Bucket(key, limit, row["tokens"], row["filled_at"], row["paused_until"])
        )
        bucket.refill(now)
        buckets[channel_id, key] = bucket
    return buckets


def channel_bucket(row: asyncpg.Record, limit: Limit | None, now: datetime) -> Bucket:
    fresh = row["filled_at"].year <= 1  # '-infinity': the row was made just now, and a new bucket is full
    tokens = limit.burst if fresh and limit is not None else row["tokens"]
    bucket = Bucket(CHANNEL, limit, tokens, now if fresh else row["filled_at"], row["paused_until"])
    bucket.refill(now)
    return bucket


async def save_buckets(unit: UnitOfWork, workspace_id: UUID, buckets: Sequence[tuple[UUID, Bucket]]) -> None:
    if not buckets:
        return
    ordered = sorted(buckets, key=lambda entry: (entry[0], entry[1].key))
    await unit.execute(
        """
        INSERT INTO rate_buckets AS b (workspace_id, channel_id, key, tokens, filled_at)
        SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::float8[], $5::timestamptz[])
        ON CONFLICT (workspace_id, channel_id, key) DO UPDATE SET tokens = excluded.tokens,
            filled_at = excluded.filled_at
        """,
        workspace_id,
        [channel_id for channel_id, _ in ordered],
        [bucket.key for _, bucket in ordered],
        [bucket.tokens for _, bucket in ordered],
        [bucket.filled_at for _, bucket in ordered],
    )


async def pick(
    unit: UnitOfWork, workspace_id: UUID, quotas: Sequence[tuple[UUID, int, int]], now: datetime, most: int
) -> list[UUID]:
    """Due deliveries, not locked yet. ``quotas``: (channel, priority, how many of the channel).

    Channels take turns; within one, the more urgent priority comes first, then the longer wait.
    """
    found = await unit.fetch(
        PICK,
        workspace_id,
        [channel_id for channel_id, _, _ in quotas],
        [priority for _, priority, _ in quotas],
        [quota for _, _, quota in quotas],
        now,
        most,
    )
    return [row[0] for row in found]


async def lock(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Those of them that are still queued and whose row and conversation nobody holds; both are ours from here on."""
    return [row[0] for row in await unit.fetch(LOCK, workspace_id, ids)]


async def load_facts(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> list[Candidate]:
    """A statement of its own after ``lock``, so that it sees what was committed before the locks were granted.

    The rows that decide are locked in share mode: a block or a disabled channel is seen here, or waits for our commit.
    """
    found = await unit.fetch(FACTS, workspace_id, ids)
    return [Candidate(*row) for row in found]


async def begin(
    unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID], node: str, now: datetime
) -> dict[UUID, Begun]:
    """Into the air: state, time, node, and the row of the attempt. By delivery id."""
    found = await unit.fetch(BEGIN, workspace_id, ids, node, now)
    return {row[0]: Begun(*row) for row in found}


async def stand_in_line(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> None:
    """The caller holds the locks of their conversations."""
    await unit.execute(
        f"UPDATE deliveries SET due_at = {IN_LINE} WHERE workspace_id = $1 AND id = ANY($2) AND state = 'queued'",
        workspace_id,
        ids,
    )


async def call_next(unit: UnitOfWork, workspace_id: UUID, conversation_ids: Sequence[UUID]) -> None:
    """The first in line of each conversation becomes due, unless one is in the air. The caller holds their locks.

    What sleeps through a quiet time is passed over, with the rest of its message: it wakes by itself.
    """
    await unit.execute(CALL_NEXT, workspace_id, conversation_ids)


async def postpone(unit: UnitOfWork, workspace_id: UUID, until: Sequence[tuple[UUID, datetime]]) -> None:
    await unit.execute(
        """UPDATE deliveries d SET due_at = n.until FROM unnest($2::uuid[], $3::timestamptz[]) AS n (id, until)
           WHERE d.workspace_id = $1 AND d.id = n.id AND d.state = 'queued'""",
        workspace_id,
        [delivery_id for delivery_id, _ in until],
        [instant for _, instant in until],
    )


async def cancel_rest(
    unit: UnitOfWork, workspace_id: UUID, after: Sequence[tuple[UUID, int]], fault: dict[str, object], at: datetime
) -> None:
    """The queued pieces of these messages behind these ordinals: half a message is not sent out of order."""
    await unit.execute(
        """UPDATE deliveries d SET state = 'cancelled', status_at = $5, fault = $4
           FROM unnest($2::uuid[], $3::smallint[]) AS a (message_id, ordinal)
           WHERE d.workspace_id = $1 AND d.message_id = a.message_id AND d.ordinal > a.ordinal
             AND d.state = 'queued'""",
        workspace_id,
        [message_id for message_id, _ in after],
        [ordinal for _, ordinal in after],
        fault,
        at,
    )


WAITING = """
WITH RECURSIVE line AS (
    (SELECT workspace_id, channel_id, priority FROM deliveries WHERE state = 'queued'
     ORDER BY workspace_id, channel_id, priority LIMIT 1)
    UNION ALL
    SELECT following.* FROM line CROSS JOIN LATERAL (
        SELECT d.workspace_id, d.channel_id, d.priority FROM deliveries d
        WHERE d.state = 'queued'
          AND (d.workspace_id, d.channel_id, d.priority) > (line.workspace_id, line.channel_id, line.priority)
        ORDER BY d.workspace_id, d.channel_id, d.priority LIMIT 1
    ) AS following
)
SELECT line.workspace_id, line.channel_id, line.priority, head.due_at, head.due_at <= clock_timestamp(),
       b.paused_until
FROM line CROSS JOIN LATERAL (
    SELECT d.due_at FROM deliveries d
    WHERE d.state = 'queued' AND d.workspace_id = line.workspace_id AND d.channel_id = line.channel_id
      AND d.priority = line.priority AND d.due_at < 'infinity'
    ORDER BY d.workspace_id, d.channel_id, d.priority, d.due_at LIMIT 1
) AS head
LEFT JOIN rate_buckets b ON b.workspace_id = line.workspace_id AND b.channel_id = line.channel_id
    AND b.key = 'channel' AND b.paused_until > clock_timestamp()
"""

LOCK_BUCKETS = """
SELECT channel_id, tokens, filled_at, paused_until FROM rate_buckets
WHERE workspace_id = $1 AND channel_id = ANY($2) AND key = 'channel' ORDER BY channel_id FOR UPDATE
"""

PICK = """
SELECT id FROM (
    SELECT found.id, wanted.priority, wanted.quota,
           row_number() OVER (PARTITION BY wanted.channel_id ORDER BY wanted.priority, found.due_at, found.id) AS turn
    FROM unnest($2::uuid[], $3::smallint[], $4::int[]) AS wanted (channel_id, priority, quota)
    CROSS JOIN LATERAL (
        SELECT d.id, d.due_at FROM deliveries d
        WHERE d.workspace_id = $1 AND d.channel_id = wanted.channel_id AND d.priority = wanted.priority
          AND d.state = 'queued' AND d.due_at <= $5
        ORDER BY d.due_at, d.id LIMIT wanted.quota
    ) AS found
) AS picked
WHERE turn <= quota ORDER BY turn, priority LIMIT $6
"""

LOCK = """
SELECT d.id FROM deliveries d
JOIN conversations v ON v.workspace_id = d.workspace_id AND v.id = d.conversation_id
WHERE d.workspace_id = $1 AND d.id = ANY($2) AND d.state = 'queued'
ORDER BY v.id, d.id FOR NO KEY UPDATE OF d, v SKIP LOCKED
"""

FACTS = f"""
SELECT d.id, d.message_id, d.conversation_id, v.identity_id, d.channel_id, d.ordinal, d.piece, d.purpose, d.priority,
    d.epoch, {DEADLINE}, CASE WHEN d.ordinal = 0 THEN m.reply_to_external_id END,
    d.purpose = 'template'
        OR m.parts <> '[]' AND NOT jsonb_path_exists(m.parts, '$[*] ? (@.type != "template")'),
    d.hold_after_number, d.stop_when_closed, d.quiet,
    v.epoch, v.status, v.last_inbound_number, v.window_opened_at, v.window_closed_at,
    c.blocked_at IS NOT NULL, i.unreachable, i.marketing_stopped_at IS NOT NULL, i.is_group, ch.state, ch.health,
    NOT EXISTS (
        SELECT FROM deliveries o WHERE o.workspace_id = d.workspace_id AND o.conversation_id = d.conversation_id
           AND o.state = 'queued' AND o.id < d.id
           AND NOT (o.message_id <> d.message_id AND {ASLEEP.format(o="o")})
    ) AND NOT EXISTS (
        SELECT FROM deliveries o WHERE o.workspace_id = d.workspace_id AND o.conversation_id = d.conversation_id
           AND o.state = 'sending'
    ),
    (SELECT coalesce(jsonb_agg(jsonb_build_array(a.kind, a.scope, a.value) ORDER BY a.first_seen_at, a.kind, a.value),
                     '[]')
     FROM addresses a WHERE a.workspace_id = d.workspace_id AND a.identity_id = v.identity_id
        AND a.retired_at IS NULL)
FROM deliveries d
JOIN messages m ON m.workspace_id = d.workspace_id AND m.id = d.message_id
JOIN conversations v ON v.workspace_id = d.workspace_id AND v.id = d.conversation_id
JOIN contacts c ON c.workspace_id = d.workspace_id AND c.id = v.contact_id
JOIN identities i ON i.workspace_id = d.workspace_id AND i.id = v.identity_id
JOIN channels ch ON ch.workspace_id = d.workspace_id AND ch.id = d.channel_id
WHERE d.workspace_id = $1 AND d.id = ANY($2)
ORDER BY d.id FOR SHARE OF c, i, ch SKIP LOCKED
"""

BEGIN = """
WITH begun AS (
    UPDATE deliveries d SET state = 'sending', sending_since = $4, status_at = $4, node = $3,
        attempts = d.attempts + 1, fault = NULL
    WHERE d.workspace_id = $1 AND d.id = ANY($2) AND d.state = 'queued' RETURNING d.id, d.attempts
), noted AS (
    INSERT INTO delivery_attempts (workspace_id, delivery_id, number, started_at, node)
    SELECT $1, begun.id, 1 + (
        SELECT coalesce(max(a.number), 0) FROM delivery_attempts a
        WHERE a.workspace_id = $1 AND a.delivery_id = begun.id
    ), $4, $3 FROM begun
    RETURNING delivery_id, number
)
SELECT noted.delivery_id, noted.number, begun.attempts FROM noted JOIN begun ON begun.id = noted.delivery_id
"""

CALL_NEXT = f"""
UPDATE deliveries d SET due_at = clock_timestamp()
FROM (
    SELECT DISTINCT (
        SELECT h.id FROM deliveries h WHERE h.workspace_id = $1 AND h.conversation_id = v.id AND h.state = 'queued'
          AND NOT ({ASLEEP.format(o="h")})
        ORDER BY h.id LIMIT 1
    ) AS id
    FROM unnest($2::uuid[]) AS v (id)
    WHERE NOT EXISTS (
        SELECT FROM deliveries o WHERE o.workspace_id = $1 AND o.conversation_id = v.id AND o.state = 'sending'
    )
) AS head
WHERE d.workspace_id = $1 AND d.id = head.id AND d.state = 'queued' AND d.due_at = {IN_LINE}
"""
