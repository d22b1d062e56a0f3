"""Durable jobs on a real PostgreSQL: run once while all goes well, again when not, and never lost or run by two."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from inbox.kernel.backoff import BackOff
from inbox.kernel.database import Database
from inbox.kernel.errors import Conflict
from inbox.kernel.eventlog import EventLog
from inbox.kernel.jobs import Job, Jobs, NewJob, backlog
from inbox.kernel.jobs_lease import CLAIM, TAKE_BACK
from inbox.kernel.jobs_worker import GiveUp, JobHandler, RetryLater, Worker
from inbox.kernel.wakeup import Wakeup

WORKSPACE = uuid4()
QUICK = BackOff(first=0.02, longest=0.05)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, connections=8, event_log=EventLog())
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
def wakeup() -> Wakeup:
    return Wakeup()


@pytest.fixture
def jobs(wakeup: Wakeup) -> Jobs:
    return Jobs(wakeup)


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        worker.stop()
        async with asyncio.timeout(20):
            await asyncio.gather(task, return_exceptions=True)


def make_worker(database: Database, wakeup: Wakeup, handler: JobHandler, **options: Any) -> Worker:
    concurrency, limit = options.pop("concurrency", 4), options.pop("time_limit", 30.0)
    options.setdefault("poll_seconds", 0.05)
    worker = Worker(database, wakeup, **{"back_off": QUICK, **options})
    worker.register("q", handler, concurrency=concurrency, time_limit=limit)
    return worker


async def enqueue(database: Database, jobs: Jobs, *keys: str | None, **options: Any) -> None:
    async with database.transaction() as unit:
        for key in keys:
            await jobs.enqueue(unit, WORKSPACE, "q", options.get("payload", {}), key=key, **_without(options))


async def _enqueue_and_fail(database: Database, jobs: Jobs) -> None:
    async with database.transaction() as unit:
        await jobs.enqueue(unit, WORKSPACE, "q", {"n": 1})
        raise Conflict


def _without(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "payload"}


async def rows(database: Database) -> list[asyncpg.Record]:
    async with database.session() as connection:
        return await connection.fetch("SELECT * FROM jobs ORDER BY created_at, id")


async def until(true: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


async def until_empty(database: Database, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while await rows(database):
            await asyncio.sleep(0.01)


# --- in ---------------------------------------------------------------------------------------------------------------


async def test_a_job_exists_exactly_when_its_cause_does(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    woken: list[bool] = []
    wakeup.subscribe("jobs", lambda workspace_id, *, full: woken.append(True))
    with pytest.raises(Conflict):
        await _enqueue_and_fail(database, jobs)
    assert (await rows(database), woken) == ([], [])

    async with database.transaction() as unit:
        await jobs.enqueue(unit, WORKSPACE, "q", {"n": 1})
        assert woken == []
    assert [row["payload"] for row in await rows(database)] == [{"n": 1}]
    assert woken == [True]


async def test_a_key_waits_once_with_its_newest_payload(database: Database, jobs: Jobs) -> None:
    soon, later = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) + timedelta(hours=2)
    await enqueue(database, jobs, "a", run_at=later, payload={"n": 1})
    await enqueue(database, jobs, "a", run_at=soon, payload={"n": 2})
    await enqueue(database, jobs, "a", run_at=later, payload={"n": 3})
    await enqueue(database, jobs, "b")
    async with database.transaction() as unit:
        await jobs.enqueue(unit, uuid4(), "q", {}, key="a")
        await jobs.enqueue_all(unit, [NewJob(WORKSPACE, "other", {"n": n}, key="a") for n in (1, 2)])

    found = [(row["queue"], row["key"], row["payload"]) for row in await rows(database)]
    assert sorted(found, key=str) == sorted(
        [("q", "a", {"n": 3}), ("q", "b", {}), ("q", "a", {}), ("other", "a", {"n": 2})], key=str
    )
    assert next(row for row in await rows(database) if row["payload"] == {"n": 3})["run_at"] == soon


async def test_many_callers_with_one_key_make_one_job(database: Database, jobs: Jobs) -> None:
    await asyncio.gather(*(enqueue(database, jobs, "a", "b") for _ in range(30)))
    assert [(row["key"], row["asked"]) for row in await rows(database)] == [("a", 30), ("b", 30)]


# --- runs -------------------------------------------------------------------------------------------------------------


async def test_a_job_runs_at_once_and_leaves_no_row(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    seen: list[Job] = []

    async def handle(job: Job) -> None:
        seen.append(job)

    async with working(make_worker(database, wakeup, handle, poll_seconds=30.0)):
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await enqueue(database, jobs, "k", payload={"n": 1})
        await until(lambda: bool(seen))
        assert time.monotonic() - began < 2  # the wake-up, not the poll
        await until_empty(database)
    assert (seen[0].key, seen[0].payload, seen[0].attempts) == ("k", {"n": 1}, 1)


async def test_a_job_does_not_run_before_its_time(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    ran: list[float] = []

    async def handle(job: Job) -> None:
        ran.append(time.monotonic())

    async with working(make_worker(database, wakeup, handle)):
        began = time.monotonic()
        await enqueue(database, jobs, None, run_at=datetime.now(UTC) + timedelta(seconds=0.5))
        await until(lambda: bool(ran))
    assert 0.4 < ran[0] - began < 2


async def test_two_workers_never_run_one_job_twice(database_url: str, jobs: Jobs, wakeup: Wakeup) -> None:
    pools = [Database(database_url, connections=4, event_log=EventLog()) for _ in range(2)]
    runs: Counter[UUID] = Counter()
    most, now = 0, 0

    async def handle(job: Job) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        runs[job.id] += 1
        await asyncio.sleep(0.001)
        now -= 1

    for pool in pools:
        await pool.start()
    workers = [make_worker(pool, wakeup, handle, concurrency=5) for pool in pools]
    async with working(workers[0]), working(workers[1]):
        for _ in range(20):
            await enqueue(pools[0], jobs, *[None] * 40)
            await asyncio.sleep(0.01)
        await until_empty(pools[0])
    for pool in pools:
        await pool.stop()
    assert len(runs) == 800
    assert set(runs.values()) == {1}
    assert 5 < most <= 10


async def test_a_job_asked_for_while_it_runs_is_run_again(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    payloads: list[object] = []
    go = asyncio.Event()

    async def handle(job: Job) -> None:
        payloads.append(job.payload["n"])
        await go.wait()

    async with working(make_worker(database, wakeup, handle)):
        await enqueue(database, jobs, "k", payload={"n": 1})
        await until(lambda: payloads == [1])
        await enqueue(database, jobs, "k", payload={"n": 2})
        await enqueue(database, jobs, "k", payload={"n": 3})
        await asyncio.sleep(0.15)
        assert payloads == [1]
        go.set()
        await until_empty(database)
    assert payloads == [1, 3]


async def test_a_failing_job_waits_longer_each_time_and_dies_visibly(
    database: Database, jobs: Jobs, wakeup: Wakeup
) -> None:
    times: list[float] = []

    async def handle(job: Job) -> None:
        times.append(time.monotonic())
        if len(times) <= 4:
            raise ValueError("holds a secret")

    back_off = BackOff(first=0.2, longest=10)
    async with working(make_worker(database, wakeup, handle, back_off=back_off, poll_seconds=0.02)):
        await enqueue(database, jobs, "k", max_attempts=4)
        await until(lambda: len(times) == 4)
        await asyncio.sleep(0.3)
        [row] = await rows(database)
        assert (row["state"], row["attempts"], row["last_error"]) == ("dead", 4, "ValueError")
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert [gap >= least for gap, least in zip(gaps, (0.1, 0.2, 0.4), strict=True)] == [True] * 3
        assert all(gap < 2 for gap in gaps)

        async with database.transaction() as unit:
            [dead] = await jobs.find_dead(unit, WORKSPACE)
            assert await jobs.find_dead(unit, uuid4()) == []
            assert await jobs.revive(unit, WORKSPACE, dead.id)
            assert not await jobs.revive(unit, WORKSPACE, dead.id)
        await until_empty(database)
    assert len(times) == 5


async def test_what_a_handler_raises_decides(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    runs: Counter[str | None] = Counter()

    async def handle(job: Job) -> None:
        runs[job.key] += 1
        match job.key:
            case "give up":
                raise GiveUp("there is no such file any more")
            case "later":
                raise RetryLater(600, "the provider asks to wait")
            case "conflict":
                raise Conflict("it is closed")
            case "slow":
                await asyncio.sleep(60)

    async with working(make_worker(database, wakeup, handle, back_off=BackOff(first=900), time_limit=0.1)):
        await enqueue(database, jobs, "give up", "later", "conflict", "slow")
        await until(lambda: len(runs) == 4)
        await asyncio.sleep(0.4)
        found = {row["key"]: row for row in await rows(database)}
    assert set(runs.values()) == {1}
    assert {key: (row["state"], row["last_error"]) for key, row in found.items()} == {
        "give up": ("dead", "there is no such file any more"),
        "later": ("queued", "the provider asks to wait"),
        "conflict": ("queued", "Conflict: it is closed"),
        "slow": ("queued", "it took too long"),
    }
    wait = found["later"]["run_at"] - datetime.now(UTC)
    assert timedelta(seconds=590) < wait <= timedelta(seconds=600)


async def test_a_dead_job_does_not_stand_in_the_way_of_its_key(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    async def handle(job: Job) -> None:
        raise GiveUp("no")

    async with working(make_worker(database, wakeup, handle)):
        await enqueue(database, jobs, "k")
        async with asyncio.timeout(5):
            while [row["state"] for row in await rows(database)] != ["dead"]:
                await asyncio.sleep(0.01)
    await enqueue(database, jobs, "k")
    assert [row["state"] for row in await rows(database)] == ["dead", "queued"]
    dead = (await rows(database))[0]["id"]
    async with database.transaction() as unit:
        assert not await jobs.revive(unit, WORKSPACE, dead)  # its successor waits
        assert await jobs.discard(unit, WORKSPACE, dead)
        assert not await jobs.discard(unit, WORKSPACE, dead)
    async with database.session() as connection:
        [found] = await backlog(connection)
    assert (found.queue, found.queued, found.running, found.dead) == ("q", 1, 0, 0)


# --- leases -----------------------------------------------------------------------------------------------------------


async def test_a_long_run_keeps_its_lease(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    runs = 0

    async def handle(job: Job) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(1.5)

    one, two = (make_worker(database, wakeup, handle, lease_seconds=0.6) for _ in range(2))
    async with working(one), working(two):
        await enqueue(database, jobs, None)
        await until(lambda: runs == 1)
        await until_empty(database)
    assert runs == 1


async def test_a_run_that_lost_its_lease_is_stopped_and_cannot_finish_the_job(
    database: Database, jobs: Jobs, wakeup: Wakeup
) -> None:
    ended: list[str] = []

    def handler(name: str, seconds: float) -> JobHandler:
        async def handle(job: Job) -> None:
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                ended.append(f"{name} cancelled")
                raise
            ended.append(name)

        return handle

    async with working(make_worker(database, wakeup, handler("first", 20), lease_seconds=0.6)) as first:
        await enqueue(database, jobs, None)
        async with asyncio.timeout(5):
            while [row["state"] for row in await rows(database)] != ["running"]:
                await asyncio.sleep(0.01)
        # What a node does that thinks the first one dead.
        async with database.session() as connection:
            await connection.execute("UPDATE jobs SET worker = 'somebody else'")
        await until(lambda: ended == ["first cancelled"], 3)
        assert not first.done()
        [row] = await rows(database)
        assert (row["state"], row["worker"]) == ("running", "somebody else")


async def test_a_late_report_of_a_lost_lease_changes_nothing(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    go = asyncio.Event()

    async def handle(job: Job) -> None:
        await go.wait()
        if job.key == "fails":
            raise ValueError

    async with working(make_worker(database, wakeup, handle, lease_seconds=30)):
        await enqueue(database, jobs, "succeeds", "fails")
        async with asyncio.timeout(5):
            while {row["state"] for row in await rows(database)} != {"running"}:
                await asyncio.sleep(0.01)
        async with database.session() as connection:
            await connection.execute("UPDATE jobs SET worker = 'somebody else'")
        go.set()
        await asyncio.sleep(0.2)
    assert [(row["state"], row["worker"]) for row in await rows(database)] == [("running", "somebody else")] * 2


async def test_a_worker_that_is_cancelled_puts_its_jobs_back(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    started = asyncio.Event()

    async def handle(job: Job) -> None:
        started.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(make_worker(database, wakeup, handle).run())
    await enqueue(database, jobs, None)
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    [row] = await rows(database)
    assert (row["state"], row["attempts"], row["worker"]) == ("queued", 0, None)


async def test_a_worker_that_stops_finishes_what_runs(database: Database, jobs: Jobs, wakeup: Wakeup) -> None:
    started, ended = asyncio.Event(), 0

    async def handle(job: Job) -> None:
        nonlocal ended
        started.set()
        await asyncio.sleep(0.3)
        ended += 1

    worker = make_worker(database, wakeup, handle, concurrency=1)
    task = asyncio.create_task(worker.run())
    await enqueue(database, jobs, None, None)
    await started.wait()
    worker.stop()
    await asyncio.wait_for(task, 5)
    assert ended == 1
    assert [row["state"] for row in await rows(database)] == ["queued"]


PROGRAM = """
import asyncio, sys
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.jobs_lease import CLAIM, TAKE_BACK
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.wakeup import Wakeup

async def handle(job):
    print(job.id, flush=True)
    await asyncio.sleep(600)

async def main():
    database = Database(sys.argv[1], connections=4, event_log=EventLog())
    await database.start()
    worker = Worker(database, Wakeup(), lease_seconds=0.9, poll_seconds=0.05)
    worker.register("q", handle, concurrency=3)
    await worker.run()

asyncio.run(main())
"""


async def test_jobs_of_a_killed_process_run_elsewhere(
    database: Database, database_url: str, jobs: Jobs, wakeup: Wakeup
) -> None:
    await enqueue(database, jobs, *[None] * 5)
    await enqueue(database, jobs, "last chance", max_attempts=1)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), database_url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    held = {UUID((await asyncio.to_thread(process.stdout.readline)).strip()) for _ in range(3)}
    runs: Counter[UUID] = Counter()

    async def handle(job: Job) -> None:
        runs[job.id] += 1

    async with working(make_worker(database, wakeup, handle, lease_seconds=0.9)):
        await until(lambda: len(runs) == 3)
        await asyncio.sleep(1.5)  # its leases would have run out by now, if it did not renew them
        assert not held & runs.keys()
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait)
        process.stdout.close()
        await until_empty_but_dead(database)
    left = await rows(database)
    assert len(runs) + len(left) == 6
    assert set(runs.values()) == {1}
    assert all((row["key"], row["state"]) == ("last chance", "dead") for row in left)


async def until_empty_but_dead(database: Database) -> None:
    async with asyncio.timeout(15):
        while any(row["state"] != "dead" for row in await rows(database)):
            await asyncio.sleep(0.02)


async def test_work_goes_on_after_the_connections_were_cut(
    database: Database, database_url: str, jobs: Jobs, wakeup: Wakeup
) -> None:
    runs: Counter[UUID] = Counter()

    async def handle(job: Job) -> None:
        runs[job.id] += 1
        await asyncio.sleep(0.01)

    async with working(make_worker(database, wakeup, handle, lease_seconds=1.0)):
        await enqueue(database, jobs, *[None] * 60)
        await until(lambda: len(runs) > 10)
        outside = await asyncpg.connect(database_url)
        await outside.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        async with asyncio.timeout(20):
            while await outside.fetchval("SELECT count(*) FROM jobs"):
                await asyncio.sleep(0.05)
        await outside.close()
    assert len(runs) == 60


async def test_a_crowd_of_waiting_jobs_is_never_scanned(database: Database) -> None:
    async with database.session() as connection:
        await connection.execute(
            """INSERT INTO jobs (workspace_id, id, queue, run_at, max_attempts)
               SELECT $1, gen_random_uuid(), CASE n % 3 WHEN 0 THEN 'q' ELSE 'other' END,
                      now() + (n - 1000) * interval '1 second', 10
               FROM generate_series(1, 100000) n""",
            WORKSPACE,
        )
        await connection.execute("ANALYZE jobs")
        for query, arguments in ((CLAIM, [["q", "none"], [4, 4], "lease", 60.0]), (TAKE_BACK, [["q"], "lost"])):
            async with connection.transaction():
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN ANALYZE {query}", *arguments))
            assert "Seq Scan" not in plan, plan
            assert "ix_jobs_" in plan, plan
