"""Timers: how many are claimed and fired per second out of a crowd of pending ones, and how late they come.

    python -m benchmarks.scheduler [--quick] [--database-url postgresql://…]

Beside the product, in turn, runs its ceiling: one worker that claims and deletes by 100 with SKIP LOCKED and does
nothing else. Firing means: the timer is gone, a message is queued (one row) and an event is in the log, in one commit.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import uvloop

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
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
    ORDER BY next_at LIMIT 100 FOR UPDATE SKIP LOCKED))
"""

PENDING = """
INSERT INTO timers (workspace_id, kind, key, due_at, next_at, payload)
SELECT $1, $2, gen_random_uuid()::text, at, at, '{"conversation_id": "0190a6b2-0000-7000-8000-000000000000"}'
FROM (SELECT now() + $4::interval + n * $5::interval AS at FROM generate_series(1, $3::int) n) due
"""

PAYLOAD = b'{"message": {"status": "queued", "text": "Your appointment is tomorrow at nine."}}'


@dataclass(frozen=True)
class Scale:
    pending: int
    due: int
    rounds: int
    seconds: int


async def main(url: str, scale: Scale) -> None:
    await upgrade(url)
    database = Database(url, connections=8, event_log=EventLog())
    await database.start()
    workspace_id = uuid4()
    async with database.session() as connection:
        await ensure(connection)
        await connection.execute("CREATE TABLE bench_queued (workspace_id uuid, id text, at timestamptz)")
        await connection.execute("INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)", workspace_id, uuid4())
        for few in (10_000, scale.pending):
            await fill(connection, workspace_id, "pending", few, timedelta(hours=1), timedelta(milliseconds=3))
            await connection.execute("VACUUM ANALYZE timers")
            print(f"\n{few:,} pending")
            await throughput(database, workspace_id, scale)
    await lateness(database, workspace_id, scale.seconds)
    await database.stop()


async def fill(connection: Connection, workspace_id: UUID, kind: str, count: int, *times: timedelta) -> None:
    """``times``: from now to the first, and from each to the next. Pending ones share the kind of the due ones."""
    await connection.execute("DELETE FROM timers WHERE kind = $1", kind)
    await connection.execute(PENDING, workspace_id, kind, count, *times, timeout=600)


async def throughput(database: Database, workspace_id: UUID, scale: Scale) -> None:
    ceilings: list[float] = []
    fired: dict[int, list[float]] = {100: [], 256: []}
    for _ in range(scale.rounds):
        ceilings.append(await timed(database, workspace_id, scale.due, ceiling(database)))
        for batch, rates in fired.items():
            firing = TimerFiring(database, batch=batch)
            firing.register("pending", queue_message)
            rates.append(await timed(database, workspace_id, scale.due, firing.fire_due()))
    top = statistics.median(ceilings)
    print(f"{'':34}{'timers/s':>10}{'of the ceiling':>16}")
    print(f"{'claim by 100 alone (ceiling)':34}{top:>10,.0f}{1:>16.2f}")
    for batch, rates in fired.items():
        rate = statistics.median(rates)
        print(f"{f'claim, queue, log by {batch}':34}{rate:>10,.0f}{rate / top:>16.2f}")


async def timed(database: Database, workspace_id: UUID, due: int, work: object) -> float:
    async with database.session() as connection:
        await connection.execute(PENDING, workspace_id, "pending", due, timedelta(hours=-1), timedelta(milliseconds=1))
    began = time.perf_counter()
    done = await work  # type: ignore[misc]
    elapsed = time.perf_counter() - began
    assert done == due, (done, due)
    return due / elapsed


async def ceiling(database: Database) -> int:
    claimed = 0
    async with database.session() as connection:
        while count := int((await connection.execute(CEILING, "pending")).split()[1]):
            claimed += count
    return claimed


async def queue_message(unit: UnitOfWork, timers: list[Timer]) -> None:
    await unit.execute(
        "INSERT INTO bench_queued SELECT w, k, now() FROM unnest($1::uuid[], $2::text[]) AS t (w, k)",
        [one.workspace_id for one in timers],
        [one.key for one in timers],
    )
    unit.record_all([Event(one.workspace_id, "message.created", PAYLOAD) for one in timers])


async def lateness(database: Database, workspace_id: UUID, seconds: int) -> None:
    """1,000 due per second; late is the time from the promise to the return of the commit."""
    late: list[float] = []

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        await queue_message(unit, timers)
        unit.after_commit(lambda: late.extend(_late(timers)))

    firing = TimerFiring(database)
    firing.register("steady", handle)
    clock = SchedulerClock(firing)
    async with database.session() as connection:
        await fill(connection, workspace_id, "steady", seconds * 1000, timedelta(seconds=1), timedelta(milliseconds=1))
    await clock.start()
    await asyncio.sleep(seconds + 2)
    await clock.stop()
    late.sort()
    print(f"\n1,000 due per second for {seconds} s: {len(late):,} fired")
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        print(f"{'lateness ' + name:34}{1000 * late[min(len(late) - 1, int(share * len(late)))]:>10.1f} ms")
    assert len(late) == seconds * 1000


def _late(timers: Sequence[Timer]) -> list[float]:
    now = datetime.now(UTC)
    return [(now - one.due_at).total_seconds() for one in timers]


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200,000 pending instead of 1,000,000")
    parser.add_argument("--database-url", help="an empty database; unset: a throw-away server that keeps its promises")
    options = parser.parse_args()
    scale = Scale(200_000, 10_000, 3, 5) if options.quick else Scale(1_000_000, 20_000, 5, 10)
    with ExitStack() as stack:
        url = options.database_url
        if url is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inbox-bench-")))
            folder.chmod(0o711)
            url = stack.enter_context(EmbeddedPostgres.start(folder)).dsn()
        uvloop.run(main(url, scale))


if __name__ == "__main__":
    run()
