"""Scheduled messages through the whole product: how late each is handed to dispatch, and how many a second.

``inbox serve`` with its API and clock; the channel rests, so nothing leaves and what is measured is the hand-over: the
timer fired, the decision made, the message and its delivery queued, row, event and audit trail written. Its ceiling is
the smallest worker that keeps the same promise with none of that: one claim and one inserted row, in one commit.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

import asyncpg

from benchmarks.launcher import ACCOUNT, Product, run_load, stage
from benchmarks.load import Job
from benchmarks.report import Row
from benchmarks.scheduler import percentile

CEILING = """
WITH due AS (
    DELETE FROM bench_due WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM bench_due WHERE due_at <= now() ORDER BY due_at LIMIT 16 FOR UPDATE SKIP LOCKED))
    RETURNING id, due_at
)
INSERT INTO bench_sent SELECT id, due_at, clock_timestamp() FROM due RETURNING 1
"""

PER_SECOND = 20
AT_ONCE = 8


async def main(quick: bool) -> list[Row]:
    seconds, crowd = (5, 200) if quick else (20, 1000)
    async with stage() as place, place.product() as product, place.connection() as connection:
        threads = await conversations(product, max(crowd, seconds * PER_SECOND))
        steady = await late(product, threads[: seconds * PER_SECOND])
        best = await late_alone(connection, seconds)
        rate = await drained(product, threads[:crowd])
        top = await drained_alone(connection, crowd)
    conditions = f"{PER_SECOND}/s for {seconds} s; ceiling: one claim and one row a commit, asked every ms"
    rows = [
        Row(
            f"lateness of scheduled messages (due → handed to dispatch), {name}",
            percentile(steady, share),
            "ms",
            conditions,
            ceiling=percentile(best, share),
            aim="≤ 1,000 ms" if name == "p99" else "",
            met=percentile(steady, share) <= 1000 if name == "p99" else None,
        )
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
    crowded = f"{crowd} due at once; ceiling: claim by 16 and one row each"
    return [*rows, Row("scheduled messages handed over", rate, "messages/s", crowded, ceiling=top)]


async def conversations(product: Product, count: int) -> list[str]:
    """As many customers who have just written, on a channel that rests."""
    await product.connect_numbers(ACCOUNT)
    traffic = product.traffic("messages", 2 * count, known=count, new_every=0)
    await run_load(Job(product.part.port, product.webhook_path, traffic, 30))
    await product.drained()
    await product.value(
        """INSERT INTO rate_buckets (workspace_id, channel_id, key, tokens, filled_at, paused_until)
           SELECT workspace_id, id, 'channel', 0, now(), now() + interval '1 day' FROM channels
           ON CONFLICT (workspace_id, channel_id, key) DO UPDATE SET paused_until = excluded.paused_until"""
    )
    found = await product.value("SELECT array_agg(id ORDER BY id) FROM conversations")
    assert len(found) >= count, (len(found), count)
    return [str(one) for one in found[:count]]


async def schedule(product: Product, threads: list[str], first: datetime, spacing: timedelta) -> list[str]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> str:
        body = {
            "parts": [{"type": "text", "text": "Your appointment is tomorrow at nine."}],
            "when": {"type": "at", "at": (first + number * spacing).isoformat()},
        }
        async with places:
            made = await product.call("POST", f"/v1/conversations/{threads[number]}/scheduled-messages", body)
        return str(made["id"])

    return await asyncio.gather(*(one(number) for number in range(len(threads))))


async def handed_over(product: Product, within: float) -> None:
    async with asyncio.timeout(within):
        while await product.value("SELECT EXISTS (SELECT FROM scheduled_messages WHERE state = 'scheduled')"):
            await asyncio.sleep(0.02)


async def late(product: Product, threads: list[str]) -> list[float]:
    """Milliseconds; all are made before the first is due, so that only the clock works."""
    ahead = 2 + len(threads) / 20
    first = await product.value("SELECT now() + make_interval(secs => $1)", ahead)
    await schedule(product, threads, first, timedelta(seconds=1 / PER_SECOND))
    assert await product.value("SELECT now() < $1", first), "making them took too long"
    await handed_over(product, ahead + len(threads) / PER_SECOND + 30)
    found = await product.value("SELECT array_agg(lateness_ms) FROM scheduled_messages WHERE state = 'due'")
    assert len(found) == len(threads)
    return [float(one) for one in found]


async def drained(product: Product, threads: list[str]) -> float:
    await product.value("DELETE FROM scheduled_messages")
    far = await product.value("SELECT now() + interval '1 hour'")
    await schedule(product, threads, far, timedelta(0))
    await product.value("UPDATE scheduled_messages SET due_at = now() + interval '1 s', by_hand = true")
    await product.value(
        """UPDATE timers t SET due_at = s.due_at, next_at = s.due_at FROM scheduled_messages s
           WHERE t.kind = 'scheduled.message' AND t.key LIKE s.id || '/%'"""
    )
    await handed_over(product, 120)
    found = await product.value(
        """SELECT count(*) / extract(epoch FROM max(handed_at) - min(due_at))::float8 FROM scheduled_messages
           WHERE state = 'due'"""
    )
    return float(found)


# --- the ceiling ------------------------------------------------------------------------------------------------------


async def _fill(
    connection: asyncpg.Connection[asyncpg.Record], count: int, first: timedelta, spacing: timedelta
) -> None:
    await connection.execute("CREATE TABLE IF NOT EXISTS bench_due (id uuid PRIMARY KEY, due_at timestamptz)")
    await connection.execute("CREATE INDEX IF NOT EXISTS bench_due_at ON bench_due (due_at)")
    await connection.execute("CREATE TABLE IF NOT EXISTS bench_sent (id uuid, due_at timestamptz, at timestamptz)")
    await connection.execute("TRUNCATE bench_due, bench_sent")
    await connection.execute(
        """INSERT INTO bench_due SELECT id, now() + $2 + n * $3::interval
           FROM unnest($1::uuid[]) WITH ORDINALITY AS due (id, n)""",
        [uuid4() for _ in range(count)],
        first,
        spacing,
    )


async def late_alone(connection: asyncpg.Connection[asyncpg.Record], seconds: int) -> list[float]:
    count = done = seconds * PER_SECOND
    await _fill(connection, count, timedelta(seconds=1), timedelta(seconds=1 / PER_SECOND))
    async with asyncio.timeout(seconds + 30):
        while done > 0:
            done -= len(await connection.fetch(CEILING))
            await asyncio.sleep(0.001)
    found = await connection.fetch("SELECT 1000 * extract(epoch FROM at - due_at)::float8 FROM bench_sent")
    return [row[0] for row in found]


async def drained_alone(connection: asyncpg.Connection[asyncpg.Record], count: int) -> float:
    await _fill(connection, count, timedelta(seconds=-1), timedelta(0))
    began = asyncio.get_running_loop().time()
    while await connection.fetch(CEILING):
        pass
    return count / (asyncio.get_running_loop().time() - began)
