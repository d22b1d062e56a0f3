"""Durable timers on a real PostgreSQL: each has its effect exactly once, or was cancelled, whoever runs beside it."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from apscheduler.triggers.interval import IntervalTrigger

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
from inbox.kernel.backoff import BackOff
from inbox.kernel.database import Contended, Database, UnitOfWork
from inbox.kernel.eventlog import Event, EventLog
from inbox.kernel.partitions import ensure
from inbox.kernel.timers import (
    NewTimer,
    Timer,
    cancel_timer,
    cancel_timers,
    find_failed,
    find_timer,
    move_timer,
    revive_timer,
    set_timer,
    set_timers,
)
from inbox.kernel.timers_firing import CLAIM, NEXT_DUE, TimerFiring, TimerHandler
from scheduler.clock import SchedulerClock

WORKSPACE = uuid4()
QUICK = BackOff(first=0.02, longest=0.05)


def ago(seconds: float = 1.0) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With a table of effects that takes the same one twice, so that tests can count."""
    database = Database(database_url, connections=10, event_log=EventLog())
    await database.start()
    async with database.session() as connection:
        await ensure(connection)
        await connection.execute("CREATE TABLE effects (kind text, key text, at timestamptz DEFAULT clock_timestamp())")
        await connection.execute("INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)", WORKSPACE, uuid4())
    yield database
    await database.stop()


async def act(unit: UnitOfWork, timers: list[Timer]) -> None:
    await unit.execute(
        "INSERT INTO effects (kind, key) SELECT $1, unnest($2::text[])", timers[0].kind, [one.key for one in timers]
    )
    unit.record_all([Event(WORKSPACE, "fired", b"{}") for _ in timers])


def make_firing(database: Database, handler: TimerHandler = act, **options: object) -> TimerFiring:
    firing = TimerFiring(database, **{"back_off": QUICK, **options})  # type: ignore[arg-type]
    firing.register("k", handler)
    return firing


async def put(database: Database, *keys: str, due_at: datetime | None = None, kind: str = "k") -> None:
    async with database.transaction() as unit:
        await set_timers(unit, [NewTimer(WORKSPACE, kind, key, due_at or ago()) for key in keys])


async def effects(database: Database) -> list[str]:
    async with database.session() as connection:
        return [row[0] for row in await connection.fetch("SELECT key FROM effects ORDER BY key")]


async def standing(database: Database) -> list[str]:
    async with database.session() as connection:
        return [row[0] for row in await connection.fetch("SELECT key FROM timers ORDER BY key")]


# --- rows -------------------------------------------------------------------------------------------------------------


async def test_set_move_find_and_cancel(database: Database) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    async with database.transaction() as unit:
        await set_timer(unit, WORKSPACE, "k", "a", later, {"n": 1})
        await set_timer(unit, WORKSPACE, "k", "a", later, {"n": 2})
        found = await find_timer(unit, WORKSPACE, "k", "a")
        assert found is not None
        assert (found.payload, found.due_at, found.attempts) == ({"n": 2}, later, 0)
        assert await move_timer(unit, WORKSPACE, "k", "a", later + timedelta(hours=1))
        assert not await move_timer(unit, WORKSPACE, "k", "b", later)
        assert not await cancel_timer(unit, uuid4(), "k", "a")
        assert not await cancel_timer(unit, WORKSPACE, "other", "a")
        assert await cancel_timer(unit, WORKSPACE, "k", "a")
        assert not await cancel_timer(unit, WORKSPACE, "k", "a")
        await set_timers(unit, [NewTimer(WORKSPACE, "k", key, later) for key in ("c", "b", "b")])
        assert await cancel_timers(unit, WORKSPACE, "k", ["a", "b", "b", "c"]) == {"b", "c"}


# --- firing -----------------------------------------------------------------------------------------------------------


async def test_due_timers_fire_with_their_effect_and_their_events(database: Database) -> None:
    await put(database, "a", "b", "c")
    await put(database, "later", due_at=datetime.now(UTC) + timedelta(hours=1))
    batches: list[list[str]] = []

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        batches.append([one.key for one in timers])
        await act(unit, timers)

    assert await make_firing(database, handle).fire_due() == 3
    assert batches == [["a", "b", "c"]]
    assert (await effects(database), await standing(database)) == (["a", "b", "c"], ["later"])
    async with database.session() as connection:
        assert await connection.fetchval("SELECT head FROM event_logs WHERE workspace_id = $1", WORKSPACE) == 3


async def test_kinds_without_a_handler_wait_and_slow_nobody(database: Database) -> None:
    await put(database, "x", "y", kind="of a newer version", due_at=ago(60))
    await put(database, "a")
    firing = make_firing(database)
    assert await firing.fire_due() == 1
    assert await firing.next_due() == {}
    assert await standing(database) == ["x", "y"]


async def test_a_handler_may_set_the_next_timer_of_the_same_key(database: Database) -> None:
    await put(database, "a")
    later = datetime.now(UTC) + timedelta(hours=1)

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        for one in timers:
            await set_timer(unit, one.workspace_id, one.kind, one.key, later)

    assert await make_firing(database, handle).fire_due() == 1
    async with database.transaction() as unit:
        found = await find_timer(unit, WORKSPACE, "k", "a")
    assert found is not None
    assert found.due_at == later


async def test_two_clocks_fire_each_timer_once(database_url: str, database: Database) -> None:
    other = Database(database_url, connections=6, event_log=EventLog())
    await other.start()
    clocks = [make_firing(one, batch=7) for one in (database, other)]
    keys: set[str] = set()
    for turn in range(15):
        fresh = [f"{turn:02}-{number:02}" for number in range(40)]
        keys.update(fresh)
        await put(database, *fresh)
        await asyncio.gather(*(clock.fire_due() for clock in clocks for _ in range(2)))
    while await standing(database):
        await clocks[0].fire_due()
    await other.stop()
    assert await effects(database) == sorted(keys)


@pytest.mark.parametrize("works", [True, False], ids=["effect succeeds", "effect fails"])
async def test_cancel_and_firing_have_exactly_one_winner(database: Database, works: bool) -> None:
    rng = random.Random(7)

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        await act(unit, timers)
        await asyncio.sleep(rng.random() * 0.004)
        if not works:
            raise ValueError

    async def cancel(key: str) -> bool:
        await asyncio.sleep(rng.random() * 0.004)
        async with database.transaction() as unit:
            return await cancel_timer(unit, WORKSPACE, "k", key)

    firing = make_firing(database, handle, back_off=BackOff(first=60))
    cancelled: set[str] = set()
    keys = [f"{number:03}" for number in range(150)]
    for key in keys:
        await put(database, key)
        won, _ = await asyncio.gather(cancel(key), firing.fire_due())
        if won:
            cancelled.add(key)
    fired = set(await effects(database))
    assert await standing(database) == []
    if works:
        assert fired | cancelled == set(keys)
        assert not fired & cancelled
        assert len(fired) > 5
        assert len(cancelled) > 5
    else:
        assert (fired, cancelled) == (set(), set(keys))


async def test_moving_and_firing_have_exactly_one_winner(database: Database) -> None:
    firing = make_firing(database)
    later = datetime.now(UTC) + timedelta(hours=1)
    outcomes: list[bool] = []

    async def move(key: str) -> bool:
        await asyncio.sleep(random.random() * 0.004)
        async with database.transaction() as unit:
            return await move_timer(unit, WORKSPACE, "k", key, later)

    for number in range(100):
        await put(database, str(number))
        moved, _ = await asyncio.gather(move(str(number)), firing.fire_due())
        outcomes.append(moved)
        assert (str(number) in await standing(database)) is moved
        assert (str(number) in await effects(database)) is not moved
    assert len(set(outcomes)) == 2


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_one_bad_timer_does_not_hold_up_its_batch(database: Database) -> None:
    keys = [f"{number:02}" for number in range(40)]
    await put(database, *keys)
    calls = 0

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        nonlocal calls
        calls += 1
        await act(unit, timers)
        if any(one.key in ("07", "33") for one in timers):
            raise ValueError("a secret")

    assert await make_firing(database, handle, back_off=BackOff(first=60)).fire_due() == 40
    assert await effects(database) == [key for key in keys if key not in ("07", "33")]
    assert await standing(database) == ["07", "33"]
    assert calls < 30
    async with database.session() as connection:
        # What was rolled back left no event behind either.
        assert await connection.fetchval("SELECT head FROM event_logs WHERE workspace_id = $1", WORKSPACE) == 38
        row = await connection.fetchrow("SELECT *, next_at - now() AS wait FROM timers WHERE key = '07'")
    assert row is not None
    assert (row["attempts"], row["last_error"], row["state"]) == (1, "ValueError", "pending")
    assert timedelta(seconds=25) < row["wait"] <= timedelta(seconds=60)
    assert row["due_at"] < row["next_at"]


async def test_an_error_that_shows_only_at_the_commit_is_found(database: Database) -> None:
    keys = [f"{number:02}" for number in range(10)]
    await put(database, *keys)

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        await act(unit, timers)
        if any(one.key == "04" for one in timers):
            unit.record(Event(uuid4(), "of no workspace", b"{}"))

    await make_firing(database, handle, back_off=BackOff(first=60)).fire_due()
    assert await standing(database) == ["04"]
    assert await effects(database) == [key for key in keys if key != "04"]


async def test_a_timer_that_never_works_is_parked_and_can_be_revived(database: Database) -> None:
    await put(database, "a")
    works = False
    tries = 0

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        nonlocal tries
        tries += 1
        if not works:
            raise ValueError
        await act(unit, timers)

    firing = make_firing(database, handle, max_attempts=3)
    for _ in range(20):
        await firing.fire_due()
        await asyncio.sleep(0.02)
    assert tries == 3
    assert await firing.next_due() == {}
    async with database.transaction() as unit:
        assert await find_failed(unit, uuid4()) == []
        [failed] = await find_failed(unit, WORKSPACE)
        assert (failed.key, failed.attempts, failed.last_error) == ("a", 3, "ValueError")
        assert await revive_timer(unit, WORKSPACE, "k", "a")
        assert not await revive_timer(unit, WORKSPACE, "k", "a")
    works = True
    await firing.fire_due()
    assert await effects(database) == ["a"]


async def test_contention_is_tried_again_at_once(database: Database) -> None:
    await put(database, "a", "b")
    tries = 0

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        nonlocal tries
        tries += 1
        await act(unit, timers)
        if tries < 3:
            raise Contended

    await make_firing(database, handle).fire_due()
    assert (await effects(database), await standing(database), tries) == (["a", "b"], [], 3)


PROGRAM = """
import asyncio, sys
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.timers_firing import TimerFiring

async def handle(unit, timers):
    await unit.execute(
        "INSERT INTO effects (kind, key) SELECT $1, unnest($2::text[])", "k", [one.key for one in timers])
    await asyncio.sleep(0.01)
    print(len(timers), flush=True)

async def main():
    database = Database(sys.argv[1], connections=4, event_log=EventLog())
    await database.start()
    firing = TimerFiring(database, batch=5)
    firing.register("k", handle)
    await firing.fire_due()

asyncio.run(main())
"""


async def test_a_killed_clock_loses_and_doubles_nothing(database: Database, database_url: str) -> None:
    keys = [f"{number:03}" for number in range(400)]
    await put(database, *keys)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), database_url], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(5):
            assert await asyncio.to_thread(process.stdout.readline) == "5\n"
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        process.stdout.close()
        fired = await effects(database)
        assert sorted([*fired, *await standing(database)]) == keys
        assert 0 < len(fired) < 400
    async with asyncio.timeout(20):
        while await standing(database):
            await make_firing(database).fire_due()
    assert await effects(database) == keys


# --- the clock --------------------------------------------------------------------------------------------------------


async def test_the_clock_fires_at_the_due_time(database: Database) -> None:
    clock = SchedulerClock(make_firing(database), poll_seconds=0.3)
    await clock.start()
    await asyncio.sleep(0.1)
    due = datetime.now(UTC)
    for number in range(10):
        await put(database, f"{number}", due_at=due + timedelta(seconds=0.15 * number))
    async with asyncio.timeout(10):
        while await standing(database):
            await asyncio.sleep(0.02)
    await clock.stop()
    async with database.session() as connection:
        times = await connection.fetch("SELECT key, at FROM effects")
    lateness = [(at - due).total_seconds() - 0.15 * int(key) for key, at in times]
    assert len(lateness) == 10
    assert min(lateness) >= 0
    assert max(lateness) < 1


async def test_the_clock_ends_what_is_under_way_before_it_stops(database: Database) -> None:
    started = asyncio.Event()

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        started.set()
        await asyncio.sleep(0.3)
        await act(unit, timers)

    upkeep: list[str] = []

    async def keep_up() -> None:
        upkeep.append("began")
        await asyncio.sleep(0.3)
        upkeep.append("ended")

    clock = SchedulerClock(make_firing(database, handle))
    clock.add_upkeep("sweep", IntervalTrigger(seconds=0.05), keep_up)
    await put(database, "a")
    await clock.start()
    await started.wait()
    await asyncio.sleep(0.15)
    await clock.stop()
    assert await effects(database) == ["a"]
    assert upkeep == ["began", "ended"]  # one at a time, although it was due several times
    await asyncio.sleep(0.2)
    assert upkeep == ["began", "ended"]


async def test_what_takes_too_long_is_rolled_back_when_the_clock_stops(database: Database) -> None:
    started = asyncio.Event()

    async def handle(unit: UnitOfWork, timers: list[Timer]) -> None:
        await act(unit, timers)
        started.set()
        await asyncio.sleep(60)

    clock = SchedulerClock(make_firing(database, handle))
    await put(database, "a")
    await clock.start()
    await started.wait()
    began = time.monotonic()
    await clock.stop(within=0.1)
    assert time.monotonic() - began < 5
    assert (await effects(database), await standing(database)) == ([], ["a"])


async def test_upkeep_that_fails_is_run_again(database: Database) -> None:
    runs = 0

    async def keep_up() -> None:
        nonlocal runs
        runs += 1
        raise ValueError

    clock = SchedulerClock(make_firing(database))
    clock.add_upkeep("sweep", IntervalTrigger(seconds=0.05), keep_up)
    with pytest.raises(ValueError, match="exists"):
        clock.add_upkeep("sweep", IntervalTrigger(seconds=0.05), keep_up)
    await clock.start()
    async with asyncio.timeout(5):
        while runs < 3:
            await asyncio.sleep(0.02)
    await clock.stop()


async def test_the_clock_goes_on_after_the_connections_were_cut(database: Database, database_url: str) -> None:
    clock = SchedulerClock(make_firing(database), poll_seconds=0.1)
    await clock.start()
    outside = await asyncpg.connect(database_url)
    for turn in range(5):
        await outside.execute(
            "INSERT INTO timers (workspace_id, kind, key, due_at, next_at) VALUES ($1, 'k', $2, now(), now())",
            WORKSPACE,
            str(turn),
        )
        await outside.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        while await outside.fetchval("SELECT count(*) FROM timers"):
            await asyncio.sleep(0.02)
    assert [row[0] for row in await outside.fetch("SELECT key FROM effects ORDER BY key")] == list("01234")
    await outside.close()
    await clock.stop()


# --- cost -------------------------------------------------------------------------------------------------------------


async def test_a_crowd_of_pending_timers_is_never_scanned(database: Database) -> None:
    async with database.session() as connection:
        await connection.execute(
            """INSERT INTO timers (workspace_id, kind, key, due_at, next_at)
               SELECT $1, CASE n % 3 WHEN 0 THEN 'k' ELSE 'other' END, n::text, at, at
               FROM (SELECT n, now() + n * interval '1 second' AS at FROM generate_series(1, 200000) n) x""",
            WORKSPACE,
        )
        await connection.execute("ANALYZE timers")
        for query, arguments in ((CLAIM, ["k", 100]), (NEXT_DUE, [["k", "other", "none"]])):
            async with connection.transaction():
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN ANALYZE {query}", *arguments))
            assert "Seq Scan" not in plan, plan
            assert "Sort" not in plan, plan
            assert "ix_timers_next" in plan, plan
