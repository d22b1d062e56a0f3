"""Timers: how many are claimed and fired per second out of a crowd of pending ones, and how late they come.

Beside the product, in turn, runs its ceiling: one worker that claims and deletes by 100 with SKIP LOCKED and does
nothing else. Firing means: the timer is gone, a message is queued (one row) and an event is in the log, in one commit.
The ceiling of lateness is the same bare worker that looks every millisecond.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
from benchmarks.report import Row
from inbox.kernel.connection import Connection
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.eventlog import Event, EventLog
from inbox.kernel.migrate import upgrade
from inbox.kernel.partitions import ensure
from inbox.kernel.postgres import EmbeddedPostgres
from inbox.kernel.timers import Timer
from inbox.kernel.timers_firing import TimerFiring
from scheduler.clock import SchedulerClock

CEILING = """
DELETE FROM timers WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM timers WHERE kind = $1 AND state = 'pending' AND next_at <= now()
    ORDER BY next_at LIMIT 100 FOR UPDATE SKIP LOCKED)) RETURNING due_at
"""

PENDING = """
INSERT INTO timers (workspace_id, kind, key, due_at, next_at, payload)
SELECT $1, $2, gen_random_uuid()::text, at, at, '{"conversation_id": "0190a6b2-0000-7000-8000-000000000000"}'
FROM (SELECT now() + $4::interval + n * $5::interval AS at FROM generate_series(1, $3::int) n) due
"""

PAYLOAD = b'{"message": {"status": "queued", "text": "Your appointment is tomorrow at nine."}}'
BATCH = 256
PER_SECOND = 1000


@dataclass(frozen=True)
class Scale:
    pending: int
    due: int
    rounds: int
    seconds: int


async def main(quick: bool) -> list[Row]:
    scale = Scale(200_000, 10_000, 3, 5) if quick else Scale(1_000_000, 20_000, 5, 10)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inbox-bench-")))
        folder.chmod(0o711)
        url = stack.enter_context(EmbeddedPostgres.start(folder)).dsn()
        await upgrade(url)
        database = Database(url, connections=8, event_log=EventLog())
        await database.start()
        try:
            return await measure(database, scale)
        finally:
            await database.stop()


async def measure(database: Database, scale: Scale) -> list[Row]:
    workspace_id = uuid4()
    rows = []
    async with database.session() as connection:
        await ensure(connection)
        await connection.execute("CREATE TABLE bench_queued (workspace_id uuid, id text, at timestamptz)")
        await connection.execute("INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)", workspace_id, uuid4())
        for pending in (10_000, scale.pending):
            await fill(connection, workspace_id, "pending", pending, timedelta(hours=1), timedelta(milliseconds=3))
            await connection.execute("VACUUM ANALYZE timers")
            rows.append(await throughput(database, workspace_id, pending, scale))
    return rows + await lateness(database, workspace_id, scale.seconds)


async def fill(connection: Connection, workspace_id: UUID, kind: str, count: int, *times: timedelta) -> None:
    """``times``: from now to the first, and from each to the next. Pending ones share the kind of the due ones."""
    await connection.execute("DELETE FROM timers WHERE kind = $1", kind)
    await connection.execute(PENDING, workspace_id, kind, count, *times, timeout=600)


async def throughput(database: Database, workspace_id: UUID, pending: int, scale: Scale) -> Row:
    ceilings: list[float] = []
    fired: list[float] = []
    for _ in range(scale.rounds):
        ceilings.append(await timed(database, workspace_id, scale.due, claim_alone(database)))
        firing = TimerFiring(database, batch=BATCH)
        firing.register("pending", queue_message)
        fired.append(await timed(database, workspace_id, scale.due, firing.fire_due()))
    ratios = sorted(ours / best for ours, best in zip(fired, ceilings, strict=True))
    ratio = statistics.median(ratios)
    spread = f"ratios of {len(ratios)} rounds {ratios[0]:.2f} to {ratios[-1]:.2f}"  # a round lasts half a second
    return Row(
        "timers claimed and fired (message queued, event written)",
        statistics.median(fired),
        "timers/s",
        f"{pending:,} pending, {scale.due:,} due, by {BATCH}; ceiling: claim by 100 alone; {spread}",
        ceiling=statistics.median(ceilings),
        ratio=ratio,
        aim="≥ 0.25 × claim alone",
        met=ratio >= 0.25,
    )


async def timed(database: Database, workspace_id: UUID, due: int, work: Coroutine[object, object, int]) -> float:
    async with database.session() as connection:
        await connection.execute(PENDING, workspace_id, "pending", due, timedelta(hours=-1), timedelta(milliseconds=1))
    began = time.perf_counter()
    done = await work
    elapsed = time.perf_counter() - began
    assert done == due, (done, due)
    return due / elapsed


async def claim_alone(database: Database) -> int:
    claimed = 0
    async with database.session() as connection:
        while found := await connection.fetch(CEILING, "pending"):
            claimed += len(found)
    return claimed


async def queue_message(unit: UnitOfWork, timers: list[Timer]) -> None:
    await unit.execute(
        "INSERT INTO bench_queued SELECT w, k, now() FROM unnest($1::uuid[], $2::text[]) AS t (w, k)",
        [one.workspace_id for one in timers],
        [one.key for one in timers],
    )
    unit.record_all([Event(one.workspace_id, "message.created", PAYLOAD) for one in timers])


async def lateness(database: Database, workspace_id: UUID, seconds: int) -> list[Row]:
    """Late is the time from the promise to the return of the commit."""
    best = await late_alone(database, workspace_id, seconds)
    late: list[float] = []

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        await queue_message(unit, timers)
        unit.after_commit(lambda: late.extend(lateness_of([one.due_at for one in timers])))

    firing = TimerFiring(database)
    firing.register("steady", handle)
    clock = SchedulerClock(firing)
    await steady(database, workspace_id, seconds)
    await clock.start()
    await asyncio.sleep(seconds + 2)
    await clock.stop()
    assert len(late) == seconds * PER_SECOND
    conditions = f"{PER_SECOND:,}/s for {seconds} s; ceiling: a bare claim every millisecond"
    return [
        Row(
            f"lateness of timers, {name}",
            1000 * percentile(late, share),
            "ms",
            conditions,
            ceiling=1000 * percentile(best, share),
            aim="≤ 1,000 ms" if name == "p99" else "",
            met=percentile(late, share) <= 1 if name == "p99" else None,
        )
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]


async def late_alone(database: Database, workspace_id: UUID, seconds: int) -> list[float]:
    late: list[float] = []
    await steady(database, workspace_id, seconds)
    async with database.session() as connection, asyncio.timeout(seconds + 20):
        while len(late) < seconds * PER_SECOND:
            late += lateness_of([row[0] for row in await connection.fetch(CEILING, "steady")])
            await asyncio.sleep(0.001)
    return late


async def steady(database: Database, workspace_id: UUID, seconds: int) -> None:
    async with database.session() as connection:
        spacing = timedelta(seconds=1 / PER_SECOND)
        await fill(connection, workspace_id, "steady", seconds * PER_SECOND, timedelta(seconds=1), spacing)


def lateness_of(due: Sequence[datetime]) -> list[float]:
    now = datetime.now(UTC)
    return [(now - at).total_seconds() for at in due]


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
