"""Partitions on a real PostgreSQL: always one to write to, dropped only when nothing needs them, nobody waits long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
from inbox.kernel.database import Database
from inbox.kernel.eventlog import Event, EventLog
from inbox.kernel.ids import new_id
from inbox.kernel.partitions import Partitioned, drop_expired, ensure, partitioned
from inbox.kernel.settings import Settings
from scheduler.retention import Retention, has_open_work, raise_floors

NOW = datetime(2026, 11, 18, 15, 0, tzinfo=UTC)  # a Wednesday
WEEK = timedelta(days=7)
EVENTS = Partitioned("events", "created_at", "week")
RAW = Partitioned("raw_deliveries", "received_at", "day")


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def partitions_of(connection: asyncpg.Connection[asyncpg.Record], table: str) -> list[str]:
    rows = await connection.fetch(
        """SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = $1::text::regclass ORDER BY c.relname""",
        table,
    )
    return [row[0] for row in rows]


async def add_raw(connection: asyncpg.Connection[asyncpg.Record], at: datetime) -> UUID:
    raw_id = new_id()
    await connection.execute(
        "INSERT INTO raw_deliveries (id, received_at, app_id, body) VALUES ($1, $2, $3, 'x')", raw_id, at, uuid4()
    )
    return raw_id


async def add_event(
    connection: asyncpg.Connection[asyncpg.Record], workspace_id: UUID, position: int, at: datetime
) -> None:
    await connection.execute(
        "INSERT INTO events (workspace_id, position, created_at, kind, payload) VALUES ($1, $2, $3, 'k', '{}')",
        workspace_id,
        position,
        at,
    )


async def add_log(connection: asyncpg.Connection[asyncpg.Record], head: int) -> UUID:
    workspace_id = uuid4()
    await connection.execute(
        "INSERT INTO event_logs (workspace_id, epoch, head) VALUES ($1, $2, $3)", workspace_id, uuid4(), head
    )
    return workspace_id


# --- ahead of time ----------------------------------------------------------------------------------------------------


def test_the_metadata_names_the_partitioned_tables() -> None:
    assert {EVENTS, RAW} <= set(partitioned())


async def test_a_fresh_database_can_be_written_to(database_url: str) -> None:
    database = Database(database_url, connections=4, event_log=EventLog())
    await database.start()
    async with database.session() as session:
        await ensure(session)
    async with database.session() as session:
        workspace_id = await add_log(session, 0)  # type: ignore[arg-type]
        await add_raw(session, datetime.now(UTC))  # type: ignore[arg-type]
    async with database.transaction() as unit:
        unit.record(Event(workspace_id, "k", b"{}"))
    async with database.session() as session:
        assert await session.fetchval("SELECT tableoid::regclass::text FROM events") != "events_default"
        assert await session.fetchval("SELECT tableoid::regclass::text FROM raw_deliveries") != "raw_deliveries_default"
    await database.stop()


async def test_periods_around_now_are_made_once(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    made = await ensure(connection, [EVENTS, RAW], now=NOW)

    assert await partitions_of(connection, "events") == [
        "events_default",
        "events_p20261109",
        "events_p20261116",
        "events_p20261123",
        "events_p20261130",
        "events_p20261207",
    ]
    assert await partitions_of(connection, "raw_deliveries") == [
        "raw_deliveries_default",
        *(f"raw_deliveries_p202611{day}" for day in (17, 18, 19, 20, 21)),
    ]
    assert len(made) == 12
    assert await ensure(connection, [EVENTS, RAW], now=NOW) == []
    assert await ensure(connection, [EVENTS, RAW], now=NOW + timedelta(days=1)) == ["raw_deliveries_p20261122"]


async def test_a_partition_has_the_indexes_of_its_table(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await ensure(connection, now=NOW)

    invalid = await connection.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
    per_partition = await connection.fetch(
        """SELECT count(*) FROM pg_inherits i JOIN pg_index x ON x.indrelid = i.inhrelid
           WHERE i.inhparent = 'events'::regclass GROUP BY i.inhrelid"""
    )
    assert invalid == 0
    assert {row[0] for row in per_partition} == {2}


async def test_what_was_written_past_the_last_partition_finds_its_own(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    await ensure(connection, now=NOW)
    late = NOW + timedelta(days=40)  # the process slept, and nobody made partitions
    far = NOW + timedelta(days=400)  # somebody's clock jumped
    ids = {await add_raw(connection, late), await add_raw(connection, late + timedelta(days=1))}
    stray = await add_raw(connection, far)
    assert await connection.fetchval("SELECT count(*) FROM raw_deliveries_default") == 3

    await ensure(connection, now=late)

    assert await connection.fetchval("SELECT count(*) FROM raw_deliveries_default") == 0
    found = await connection.fetch("SELECT id, tableoid::regclass::text FROM raw_deliveries ORDER BY received_at")
    assert {row[0] for row in found} == {*ids, stray}
    assert [row[1] for row in found] == [f"raw_deliveries_p{at:%Y%m%d}" for at in (late, late + timedelta(days=1), far)]


async def test_many_nodes_may_start_at_once(database_url: str) -> None:
    async def start() -> list[str]:
        connection = await asyncpg.connect(database_url)
        try:
            return await ensure(connection, [EVENTS, RAW], now=NOW)
        finally:
            await connection.close()

    made = await asyncio.gather(*(start() for _ in range(6)))

    assert sorted(name for names in made for name in names) == sorted({name for names in made for name in names})
    assert sum(len(names) for names in made) == 12


async def test_writers_never_fail_nor_wait_while_partitions_come_and_go(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await ensure(connection, now=NOW)
    for day in range(1, 10):
        await ensure(connection, [RAW], now=NOW - timedelta(days=day))
    stop, waits = asyncio.Event(), list[float]()

    async def write(number: int) -> int:
        writer, written = await asyncpg.connect(database_url), 0
        while not stop.is_set():
            began = time.monotonic()
            # Every other one past the last partition, so that rows arrive in the default while it is emptied.
            await add_raw(writer, NOW + timedelta(days=9 * (number % 2), seconds=written))
            waits.append(time.monotonic() - began)
            written += 1
        await writer.close()
        return written

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    await asyncio.sleep(0.3)
    dropped = await drop_expired(connection, RAW, timedelta(days=1), now=NOW)
    await ensure(connection, now=NOW + timedelta(days=9))
    await asyncio.sleep(0.2)
    stop.set()
    written = sum(await asyncio.gather(*writers))

    assert len(dropped) > 5
    assert await connection.fetchval("SELECT count(*) FROM raw_deliveries") == written
    assert max(waits) < 2.0
    await connection.close()


async def test_a_table_that_stays_locked_is_left_for_later(
    database_url: str, connection: asyncpg.Connection[asyncpg.Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inbox.kernel.partitions.ATTEMPTS", 2)
    await ensure(connection, now=NOW)
    reader = await asyncpg.connect(database_url)
    async with reader.transaction():
        await reader.execute("SELECT count(*) FROM events")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await ensure(connection, now=NOW + WEEK)
        began = time.monotonic()
        await add_event(connection, uuid4(), 1, NOW + 5 * WEEK)
        assert time.monotonic() - began < 1
    await reader.close()

    assert "events_p20261214" in await ensure(connection, now=NOW + WEEK)


# --- retention --------------------------------------------------------------------------------------------------------


async def test_dropping_events_raises_the_floor_of_each_log(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await ensure(connection, now=NOW - 2 * WEEK)
    await ensure(connection, now=NOW)
    one, two, young = [await add_log(connection, 10) for _ in range(3)]
    for position, at in ((1, NOW - 3 * WEEK), (2, NOW - 2 * WEEK), (3, NOW)):
        await add_event(connection, one, position, at)
    await add_event(connection, two, 7, NOW - 3 * WEEK)
    await add_event(connection, young, 1, NOW)

    dropped = await drop_expired(connection, EVENTS, timedelta(days=8), dropping=raise_floors, now=NOW)

    assert dropped == ["events_p20261026", "events_p20261102"]
    logs = await connection.fetch("SELECT workspace_id, floor FROM event_logs")
    floors = {row[0]: row[1] for row in logs}
    assert floors == {one: 2, two: 7, young: 0}
    kept = await connection.fetch("SELECT position FROM events WHERE workspace_id = $1", one)
    assert [row[0] for row in kept] == [3]


async def test_a_failure_while_dropping_keeps_both_events_and_floor(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    await ensure(connection, now=NOW - 3 * WEEK)
    workspace_id = await add_log(connection, 5)
    await add_event(connection, workspace_id, 5, NOW - 3 * WEEK)

    async def fail(connection: object, partition: object) -> None:
        await raise_floors(connection, partition)  # type: ignore[arg-type]
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        await drop_expired(connection, EVENTS, timedelta(days=1), dropping=fail, now=NOW)

    assert await connection.fetchval("SELECT floor FROM event_logs") == 0
    assert await connection.fetchval("SELECT count(*) FROM events") == 1


@pytest.mark.parametrize("work", ["pending", "quarantine", "released", "none"])
async def test_bodies_with_open_work_stay(connection: asyncpg.Connection[asyncpg.Record], work: str) -> None:
    old = NOW - timedelta(days=30)
    await ensure(connection, [RAW], now=old)
    raw_id = await add_raw(connection, old)
    if work == "pending":
        await connection.execute(
            "INSERT INTO pending_deliveries (id, received_at, leased_until) VALUES ($1, $2, now())", raw_id, old
        )
    elif work in ("quarantine", "released"):
        await connection.execute(
            """INSERT INTO quarantine (id, raw_id, raw_received_at, reason, released_at)
               VALUES ($1, $2, $3, 'unparsable', $4)""",
            new_id(),
            raw_id,
            old,
            NOW if work == "released" else None,
        )

    dropped = await drop_expired(connection, RAW, timedelta(days=14), needed=has_open_work, now=NOW)

    kept = await connection.fetchval("SELECT count(*) FROM raw_deliveries WHERE id = $1", raw_id)
    if work in ("pending", "quarantine"):
        assert kept == 1
        assert dropped == ["raw_deliveries_p20261018"]
    else:
        assert kept == 0
        assert len(dropped) == 5


async def test_retention_days_of_the_settings_count(database_url: str) -> None:
    database = Database(database_url, connections=4, event_log=EventLog())
    await database.start()
    async with database.session() as session:
        await ensure(session, [RAW], now=datetime.now(UTC) - timedelta(days=5))
    await Retention(database, Settings(raw_retention_days=30)).keep_partitions()
    async with database.session() as session:
        before = await session.fetchval("SELECT count(*) FROM pg_class WHERE relname LIKE 'raw_deliveries_p%'")
    await Retention(database, Settings(raw_retention_days=3)).keep_partitions()
    async with database.session() as session:
        after = await session.fetchval("SELECT count(*) FROM pg_class WHERE relname LIKE 'raw_deliveries_p%'")
    # Tables and their primary keys: days -6 to -2 were there, those that ended three days ago are gone.
    assert before - after == 2 * 3
    await database.stop()


async def test_rows_without_effect_are_deleted_in_batches(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduler.retention.BATCH", 10)
    database = Database(database_url, connections=4, event_log=EventLog())
    await database.start()
    async with database.session() as session:
        await session.execute(
            """INSERT INTO login_throttle (key, level, updated_at)
               SELECT 'old' || n, 1, now() - interval '2 days' FROM generate_series(1, 35) n
               UNION ALL SELECT 'new', 1, now()"""
        )
        await session.execute(
            """
            WITH w AS (INSERT INTO workspaces (id, name) VALUES (gen_random_uuid(), 'w') RETURNING id),
            a AS (INSERT INTO agents (workspace_id, id, name, role)
                  SELECT id, gen_random_uuid(), 'a', 'agent' FROM w RETURNING workspace_id, id),
            t AS (INSERT INTO tokens (workspace_id, id, agent_id, kind, name, hint, digest, expires_at, revoked_at)
                  SELECT workspace_id, gen_random_uuid(), id, kind, name, 'h', name::bytea, expires, revoked
                  FROM a, (VALUES ('session', 'ended', now() - interval '8 days', NULL),
                                  ('session', 'fresh', now() - interval '1 day', NULL),
                                  ('session', 'revoked', now() + interval '1 day', now() - interval '8 days'),
                                  ('session', 'valid', now() + interval '1 day', NULL),
                                  ('api', 'key', now() - interval '80 days', NULL))
                       AS v (kind, name, expires, revoked))
            INSERT INTO tickets (digest, workspace_id, agent_id, token_id, expires_at)
            SELECT v.name::bytea, a.workspace_id, a.id, gen_random_uuid(), v.expires
            FROM a, (VALUES ('old', now() - interval '1 s'), ('new', now() + interval '1 minute')) AS v (name, expires)
            """
        )
    await Retention(database, Settings()).delete_stale()
    async with database.session() as session:
        assert [row[0] for row in await session.fetch("SELECT key FROM login_throttle")] == ["new"]
        assert [row[0] for row in await session.fetch("SELECT name FROM tokens ORDER BY name")] == [
            "fresh",
            "key",
            "valid",
        ]
        assert [row[0] for row in await session.fetch("SELECT digest FROM tickets")] == [b"new"]
    await database.stop()
