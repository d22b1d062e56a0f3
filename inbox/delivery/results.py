"""The SQL of results: where deliveries stand, back into the queue, pauses, attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

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


@dataclass(frozen=True, slots=True)
class Throttled:
    """What a bucket remembers of the provider's throttles: how many in a row, and what came after the last."""

    strikes: int
    paused_until: datetime | None
    calmed_at: datetime | None


@dataclass(frozen=True, slots=True)
class BucketPause:
    channel_id: UUID
    key: str
    until: datetime
    reason: str
    strikes: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A send that the provider took, and a bucket that it drew from."""

    channel_id: UUID
    key: str
    began_at: datetime


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


async def throttled(
    unit: UnitOfWork, workspace_id: UUID, keys: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], Throttled]:
    found = await unit.fetch(
        """SELECT b.channel_id, b.key, b.strikes, b.paused_until, b.calmed_at
           FROM unnest($2::uuid[], $3::text[]) AS w (channel_id, key)
           JOIN rate_buckets b ON b.workspace_id = $1 AND b.channel_id = w.channel_id AND b.key = w.key""",
        workspace_id,
        [channel_id for channel_id, _ in keys],
        [key for _, key in keys],
    )
    return {(row[0], row[1]): Throttled(row[2], row[3], row[4]) for row in found}


async def pause(unit: UnitOfWork, workspace_id: UUID, pauses: Sequence[BucketPause]) -> None:
    """The longest counts, and the bucket is empty when it ends."""
    longest: dict[tuple[UUID, str], BucketPause] = {}
    for wanted in pauses:
        known = longest.get((wanted.channel_id, wanted.key))
        if known is None or wanted.until > known.until:
            longest[wanted.channel_id, wanted.key] = wanted
    ordered = [longest[key] for key in sorted(longest)]
    await unit.execute(
        """
        INSERT INTO rate_buckets AS b
            (workspace_id, channel_id, key, tokens, filled_at, paused_until, pause_reason, strikes)
        SELECT $1, p.channel_id, p.key, 0, p.until, p.until, p.reason, p.strikes
        FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::smallint[])
             AS p (channel_id, key, until, reason, strikes)
        ON CONFLICT (workspace_id, channel_id, key) DO UPDATE SET tokens = 0,
            filled_at = greatest(b.paused_until, excluded.paused_until), pause_reason = excluded.pause_reason,
            paused_until = greatest(b.paused_until, excluded.paused_until),
            strikes = excluded.strikes, calmed_at = NULL
        """,
        workspace_id,
        [one.channel_id for one in ordered],
        [one.key for one in ordered],
        [one.until for one in ordered],
        [one.reason[:200] for one in ordered],
        [one.strikes for one in ordered],
    )


async def end_attempts(
    unit: UnitOfWork, workspace_id: UUID, ends: Sequence[AttemptEnd], at: datetime, taken: Sequence[Taken] = ()
) -> None:
    """``taken``: buckets that were throttled take something again. Beside the attempts, to save a round trip."""
    await unit.execute(
        """
        WITH calmed AS (
            UPDATE rate_buckets b SET calmed_at = $8
            FROM unnest($9::uuid[], $10::text[], $11::timestamptz[]) AS t (channel_id, key, began_at)
            WHERE b.workspace_id = $1 AND b.channel_id = t.channel_id AND b.key = t.key
              AND b.strikes > 0 AND b.calmed_at IS NULL AND b.paused_until <= t.began_at
        )
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
        [one.channel_id for one in taken],
        [one.key for one in taken],
        [one.began_at for one in taken],
    )
