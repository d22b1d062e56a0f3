"""The SQL of the sweeper. It works across workspaces and skips what somebody holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inbox.delivery.repository import IN_LINE
from inbox.kernel.database import UnitOfWork


@dataclass(frozen=True, slots=True)
class Stray:
    """A delivery that is locked together with its conversation."""

    workspace_id: UUID
    id: UUID
    message_id: UUID
    conversation_id: UUID
    ordinal: int
    attempt: int
    now: datetime


STRAY = """d.workspace_id, d.id, d.message_id, d.conversation_id, d.ordinal,
    (SELECT coalesce(max(a.number), 0) FROM delivery_attempts a
     WHERE a.workspace_id = d.workspace_id AND a.delivery_id = d.id), clock_timestamp()"""


ALLOWED = """make_interval(secs => greatest($2::float8, coalesce((d.piece->>'patience')::float8, 0))
    + $2::float8 * greatest(0, jsonb_array_length(coalesce(d.piece->'media_ids', '[]')) - 1))"""
"""How long a live holder waits for this one (``dispatcher.time_allowed``). ``$2``: the time for one request."""


async def lock_lost(unit: UnitOfWork, margin: float, send_timeout: float, most: int) -> list[Stray]:
    """In the air for longer, by ``margin`` seconds, than any live holder would wait."""
    found = await unit.fetch(
        f"""
        SELECT {STRAY} FROM deliveries d
        JOIN conversations v ON v.workspace_id = d.workspace_id AND v.id = d.conversation_id
        WHERE d.state = 'sending' AND d.sending_since < now() - make_interval(secs => $1::float8 + $2::float8)
          AND d.sending_since < now() - make_interval(secs => $1) - {ALLOWED}
        ORDER BY d.sending_since LIMIT $3 FOR NO KEY UPDATE OF d, v SKIP LOCKED
        """,
        margin,
        send_timeout,
        most,
    )
    return [Stray(*row) for row in found]


async def lock_overdue(unit: UnitOfWork, most: int) -> list[Stray]:
    """Queued beyond their deadline; the gate would refuse them, but a paused channel never asks it."""
    strays: list[Stray] = []
    for condition, order in (
        ("d.expires_at IS NOT NULL AND d.expires_at < now()", "d.expires_at"),
        ("d.expires_at IS NULL AND d.created_at < now() - interval '24 hours'", "d.created_at"),
    ):
        found = await unit.fetch(
            f"""
            SELECT {STRAY} FROM deliveries d
            JOIN conversations v ON v.workspace_id = d.workspace_id AND v.id = d.conversation_id
            WHERE d.state = 'queued' AND {condition}
            ORDER BY {order} LIMIT $1 FOR NO KEY UPDATE OF d, v SKIP LOCKED
            """,
            most,
        )
        strays += [Stray(*row) for row in found]
    return strays


async def call_forgotten(unit: UnitOfWork, most: int) -> int:
    """First in line, but nobody told them: whoever was before them left by another door (threads were joined, …)."""
    done = await unit.execute(
        f"""
        UPDATE deliveries d SET due_at = now()
        FROM (
            SELECT f.workspace_id, f.id FROM deliveries f
            WHERE f.state = 'queued' AND f.due_at = {IN_LINE} AND NOT EXISTS (
                SELECT FROM deliveries o WHERE o.workspace_id = f.workspace_id
                   AND o.conversation_id = f.conversation_id AND o.state IN ('queued', 'sending')
                   AND (o.state = 'sending' OR o.id < f.id)
            )
            LIMIT $1 FOR NO KEY UPDATE OF f SKIP LOCKED
        ) AS forgotten
        WHERE d.workspace_id = forgotten.workspace_id AND d.id = forgotten.id AND d.state = 'queued'
        """,
        most,
    )
    return int(done.rpartition(" ")[2])


async def drop_full_buckets(unit: UnitOfWork, most: int) -> None:
    """Recipients' buckets that nobody drew from for an hour: a bucket without a row is full."""
    await unit.execute(
        """
        DELETE FROM rate_buckets b USING (
            SELECT workspace_id, channel_id, key FROM rate_buckets
            WHERE filled_at < now() - interval '1 hour' AND key LIKE 'recipient:%'
              AND (paused_until IS NULL OR paused_until < now())
            LIMIT $1 FOR UPDATE SKIP LOCKED
        ) AS old
        WHERE b.workspace_id = old.workspace_id AND b.channel_id = old.channel_id AND b.key = old.key
        """,
        most,
    )
