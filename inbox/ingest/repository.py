"""All SQL about raw deliveries, their pending work, and quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import asyncpg

from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork
from inbox.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class RawDelivery:
    id: UUID
    received_at: datetime
    app_id: UUID
    body: bytes = field(repr=False)
    attempts: int = 0
    retries: int = 0


Reason = Literal["unparsable", "unstorable", "target_unknown", "busy", "unknown_account", "unending"]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """``item``: place in the body, ``None`` for all of it. ``retry_in``: seconds until it is tried again by itself."""

    raw: RawDelivery
    item: int | None
    reason: Reason
    detail: str | None = None
    retry_in: float | None = None


async def accept(
    connection: Connection, bodies: Sequence[tuple[UUID, UUID, bytes]], received_at: datetime, lease_seconds: float
) -> None:
    """Keep bodies (id, app id, bytes) and the work that is pending on them, in one statement."""
    await connection.execute(
        """
        WITH kept AS (
            INSERT INTO raw_deliveries (id, received_at, app_id, body)
            SELECT id, $2, app_id, body FROM unnest($1::uuid[], $3::uuid[], $4::bytea[]) AS b (id, app_id, body)
        )
        INSERT INTO pending_deliveries (id, received_at, leased_until)
        SELECT id, $2, now() + make_interval(secs => $5) FROM unnest($1::uuid[]) AS b (id)
        """,
        [raw_id for raw_id, _, _ in bodies],
        received_at,
        [app_id for _, app_id, _ in bodies],
        [body for _, _, body in bodies],
        lease_seconds,
    )


async def take_over(unit: UnitOfWork, *, limit: int, lease_seconds: float) -> list[RawDelivery]:
    """Lease pending work whose holder's lease ran out, oldest first."""
    found = await unit.fetch(
        """
        WITH due AS (
            SELECT id FROM pending_deliveries WHERE leased_until < now()
            ORDER BY leased_until, id LIMIT $1 FOR UPDATE SKIP LOCKED
        ), leased AS (
            UPDATE pending_deliveries p SET leased_until = now() + make_interval(secs => $2), attempts = p.attempts + 1
            FROM due WHERE p.id = due.id RETURNING p.id, p.received_at, p.attempts
        )
        SELECT r.id, r.received_at, r.app_id, r.body, l.attempts
        FROM leased l JOIN raw_deliveries r ON r.id = l.id AND r.received_at = l.received_at
        ORDER BY r.received_at, r.id
        """,
        limit,
        lease_seconds,
    )
    return [RawDelivery(*row) for row in found]


async def renew(connection: Connection, ids: Sequence[UUID], lease_seconds: float) -> None:
    await connection.execute(
        "UPDATE pending_deliveries SET leased_until = now() + make_interval(secs => $2) WHERE id = ANY($1)",
        ids,
        lease_seconds,
    )


async def finish(unit: UnitOfWork, ids: Sequence[UUID]) -> None:
    """The work on these bodies is done with this transaction's commit."""
    await unit.execute("DELETE FROM pending_deliveries WHERE id = ANY($1)", ids)


async def quarantine(unit: UnitOfWork, faults: Sequence[Quarantined]) -> None:
    await unit.connection.executemany(
        """INSERT INTO quarantine (id, raw_id, raw_received_at, item, reason, detail, retries, retry_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))""",
        [
            (
                new_id(),
                fault.raw.id,
                fault.raw.received_at,
                fault.item,
                fault.reason,
                fault.detail,
                fault.raw.retries,
                fault.retry_in,
            )
            for fault in faults
        ],
    )


async def take_retries(unit: UnitOfWork, *, limit: int) -> list[RawDelivery]:
    """Bodies with entries that are due to be tried again by themselves; nobody else takes them for a minute."""
    found = await unit.fetch(
        """
        WITH due AS (
            SELECT id FROM quarantine WHERE released_at IS NULL AND retry_at < now()
            ORDER BY retry_at LIMIT $1 FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE quarantine q SET retry_at = now() + interval '1 minute' FROM due WHERE q.id = due.id
            RETURNING q.raw_id, q.raw_received_at, q.retries
        )
        SELECT r.id, r.received_at, r.app_id, r.body, 0, max(t.retries) + 1
        FROM taken t JOIN raw_deliveries r ON r.id = t.raw_id AND r.received_at = t.raw_received_at
        GROUP BY r.id, r.received_at, r.app_id, r.body ORDER BY r.received_at, r.id
        """,
        limit,
    )
    return [RawDelivery(*row) for row in found]


async def in_quarantine(unit: UnitOfWork, *, workspace_id: UUID | None, limit: int) -> list[asyncpg.Record]:
    """Open entries, oldest first: id, raw id, received at, item, reason, detail, since.

    ``workspace_id``: only those of the workspace's own apps; ``None``: of the installation.
    """
    return await unit.fetch(
        """
        SELECT q.id, q.raw_id, q.raw_received_at, q.item, q.reason, q.detail, q.created_at FROM quarantine q
        WHERE q.released_at IS NULL AND ($1::uuid IS NULL OR EXISTS (
            SELECT 1 FROM raw_deliveries r JOIN provider_apps a ON a.id = r.app_id
            WHERE r.id = q.raw_id AND r.received_at = q.raw_received_at AND a.workspace_id = $1))
        ORDER BY q.created_at, q.id LIMIT $2
        """,
        workspace_id,
        limit,
    )


async def count_in_quarantine(unit: UnitOfWork, *, workspace_id: UUID | None) -> int:
    """Open entries; of whose apps is as for ``in_quarantine``."""
    count: int = await unit.fetchval(
        """
        SELECT count(*) FROM quarantine q
        WHERE q.released_at IS NULL AND ($1::uuid IS NULL OR EXISTS (
            SELECT 1 FROM raw_deliveries r JOIN provider_apps a ON a.id = r.app_id
            WHERE r.id = q.raw_id AND r.received_at = q.raw_received_at AND a.workspace_id = $1))
        """,
        workspace_id,
    )
    return count


async def release(unit: UnitOfWork, raw_ids: Sequence[UUID]) -> int:
    """Mark the open entries of these bodies as released; what fails again makes new ones. How many were open."""
    found = await unit.fetch(
        "UPDATE quarantine SET released_at = now() WHERE raw_id = ANY($1) AND released_at IS NULL RETURNING id", raw_ids
    )
    return len(found)


async def kept_between(
    unit: UnitOfWork, since: datetime, until: datetime, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[RawDelivery]:
    """Bodies received in [since, until), in order, after the key of the last one seen."""
    last_at, last_id = after or (since, UUID(int=0))
    found = await unit.fetch(
        """SELECT id, received_at, app_id, body FROM raw_deliveries
           WHERE received_at >= $1 AND received_at < $2 AND (received_at, id) > ($3, $4)
           ORDER BY received_at, id LIMIT $5""",
        since,
        until,
        last_at,
        last_id,
        limit,
    )
    return [RawDelivery(*row) for row in found]


async def of_quarantine(
    unit: UnitOfWork,
    *,
    after: tuple[datetime, UUID] | None,
    until: datetime,
    limit: int,
    reason: str | None = None,
    workspace_id: UUID | None = None,
) -> list[RawDelivery]:
    """Bodies with open entries made before ``until`` (of one ``reason``, of one workspace's apps), oldest first."""
    last_at, last_id = after or (datetime.fromtimestamp(0, UTC), UUID(int=0))
    found = await unit.fetch(
        """
        SELECT r.id, r.received_at, r.app_id, r.body FROM raw_deliveries r
        JOIN (SELECT DISTINCT raw_id, raw_received_at FROM quarantine
              WHERE released_at IS NULL AND created_at < $4 AND ($5::text IS NULL OR reason = $5)) q
          ON q.raw_id = r.id AND q.raw_received_at = r.received_at
        WHERE (r.received_at, r.id) > ($1, $2)
          AND ($6::uuid IS NULL OR r.app_id IN (SELECT id FROM provider_apps WHERE workspace_id = $6))
        ORDER BY r.received_at, r.id LIMIT $3
        """,
        last_at,
        last_id,
        limit,
        until,
        reason,
        workspace_id,
    )
    return [RawDelivery(*row) for row in found]


async def backlog(connection: Connection) -> tuple[int, float, int]:
    """Pending bodies, the age of the oldest in seconds, and open entries of quarantine."""
    row = await connection.fetchrow(
        """SELECT count(*), coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8,
                  (SELECT count(*) FROM quarantine WHERE released_at IS NULL) FROM pending_deliveries"""
    )
    assert row is not None
    return row[0], row[1], row[2]
