"""The SQL of results: where deliveries stand, back into the queue, pauses, attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inbox.delivery.outcomes import Pause
from inbox.kernel.database import UnitOfWork


@dataclass(frozen=True, slots=True)
class Standing:
    """A delivery as it is now, under the lock of its conversation."""

    id: UUID
    message_id: UUID
    conversation_id: UUID
    ordinal: int
    state: str
    attempt: int
    """Number of its newest attempt."""


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    delivery_id: UUID
    attempt: int
    outcome: str
    external_id: str | None
    note: str | None
    fault: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class Requeued:
    delivery_id: UUID
    due_at: datetime
    fault: dict[str, object]
    counts: bool


async def standings(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Standing]:
    found = await unit.fetch(
        """
        SELECT d.id, d.message_id, d.conversation_id, d.ordinal, d.state, coalesce(a.number, 0)
        FROM deliveries d
        LEFT JOIN LATERAL (
            SELECT max(number) AS number FROM delivery_attempts a
            WHERE a.workspace_id = d.workspace_id AND a.delivery_id = d.id
        ) a ON true
        WHERE d.workspace_id = $1 AND d.id = ANY($2)
        """,
        workspace_id,
        ids,
    )
    return {row[0]: Standing(*row) for row in found}


async def requeue(unit: UnitOfWork, workspace_id: UUID, back: Sequence[Requeued], at: datetime) -> None:
    """The one way back: certainly refused or never sent, so nothing was accepted and no receipt can contradict it.

    A throttled try is taken off the count; the attempt itself stays on record.
    """
    await unit.execute(
        """
        UPDATE deliveries d SET state = 'queued', due_at = n.due_at, fault = n.fault, status_at = $6,
            attempts = d.attempts - CASE WHEN n.counts THEN 0 ELSE 1 END
        FROM unnest($2::uuid[], $3::timestamptz[], $4::jsonb[], $5::bool[]) AS n (id, due_at, fault, counts)
        WHERE d.workspace_id = $1 AND d.id = n.id AND d.state = 'sending' AND d.external_id IS NULL
        """,
        workspace_id,
        [one.delivery_id for one in back],
        [one.due_at for one in back],
        [one.fault for one in back],
        [one.counts for one in back],
        at,
    )


async def pause(unit: UnitOfWork, workspace_id: UUID, pauses: Sequence[tuple[UUID, str, Pause]], now: datetime) -> None:
    """``pauses``: (channel, key, pause). The longest counts, and the bucket is empty when it ends."""
    longest: dict[tuple[UUID, str], Pause] = {}
    for channel_id, key, wanted in pauses:
        known = longest.get((channel_id, key))
        if known is None or wanted.until > known.until:
            longest[channel_id, key] = wanted
    ordered = sorted(longest.items())
    await unit.execute(
        """
        INSERT INTO rate_buckets AS b (workspace_id, channel_id, key, tokens, filled_at, paused_until, pause_reason)
        SELECT $1, p.channel_id, p.key, 0, p.until, p.until, p.reason
        FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::text[]) AS p (channel_id, key, until, reason)
        ON CONFLICT (workspace_id, channel_id, key) DO UPDATE SET tokens = 0,
            filled_at = greatest(b.paused_until, excluded.paused_until), pause_reason = excluded.pause_reason,
            paused_until = greatest(b.paused_until, excluded.paused_until)
        """,
        workspace_id,
        [channel_id for (channel_id, _), _ in ordered],
        [key for (_, key), _ in ordered],
        [wanted.until for _, wanted in ordered],
        [wanted.reason[:200] for _, wanted in ordered],
    )


async def end_attempts(unit: UnitOfWork, workspace_id: UUID, ends: Sequence[AttemptEnd], at: datetime) -> None:
    await unit.execute(
        """
        UPDATE delivery_attempts a SET finished_at = $8, outcome = n.outcome, external_id = n.external_id,
            note = n.note, fault = n.fault
        FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
             AS n (delivery_id, number, outcome, external_id, note, fault)
        WHERE a.workspace_id = $1 AND a.delivery_id = n.delivery_id AND a.number = n.number
        """,
        workspace_id,
        [end.delivery_id for end in ends],
        [end.attempt for end in ends],
        [end.outcome for end in ends],
        [end.external_id for end in ends],
        [end.note for end in ends],
        [end.fault for end in ends],
        at,
    )
