"""Partitions by time: made before they are needed, dropped whole when retention has passed.

Invariant: there is always a partition to write to. Besides those made ahead each table has a default partition, so that
a process which slept over the last one (or a clock that jumped) loses nothing: what fell into the default moves into
its own partition the next time ``ensure`` runs. Nobody waits long for us: locks are asked for with a short time-out,
again and again, and an advisory lock lets one node work at a time.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Literal, TypeVar

import asyncpg

from inbox.kernel.connection import Connection
from inbox.kernel.schema import metadata

log = logging.getLogger(__name__)

LOCK: Final = 0x70617274  # an advisory lock is a number: the bytes of "part"
LOCK_MILLISECONDS: Final = 100
ATTEMPTS: Final = 30
AHEAD: Final = 3
BEHIND: Final = 1
MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)

T = TypeVar("T")
Period = Literal["day", "week"]
Check = Callable[[Connection, "Partition"], Awaitable[bool]]
Effect = Callable[[Connection, "Partition"], Awaitable[None]]

RANGE: Final = re.compile(r"RANGE \((\w+)\)")


@dataclass(frozen=True, slots=True)
class Partitioned:
    """A table ``PARTITION BY RANGE (column)`` with a timestamptz ``column``; periods begin at midnight UTC."""

    table: str
    column: str
    period: Period

    @property
    def length(self) -> timedelta:
        return timedelta(days=1 if self.period == "day" else 7)

    @property
    def default(self) -> str:
        return f"{self.table}_default"

    def around(self, now: datetime) -> list[Partition]:
        """Those that have to exist: one period behind to three ahead."""
        start = now - (now - MONDAY) % self.length
        return [self.starting(start + number * self.length) for number in range(-BEHIND, AHEAD + 1)]

    def starting(self, since: datetime) -> Partition:
        return Partition(self, f"{self.table}_p{since:%Y%m%d}", since, since + self.length)

    def named(self, name: str) -> Partition | None:
        """The partition of this name; ``None`` when it is not one that was made here."""
        match = re.fullmatch(rf"{self.table}_p(\d{{8}})", name)
        return self.starting(datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC)) if match else None


@dataclass(frozen=True, slots=True)
class Partition:
    of: Partitioned
    name: str
    since: datetime
    until: datetime


def partitioned() -> list[Partitioned]:
    """The tables of the metadata that are partitioned by time; ``info={"period": …}`` says how finely."""
    found: list[Partitioned] = []
    for table in metadata.sorted_tables:
        if match := RANGE.fullmatch(table.dialect_options["postgresql"]["partition_by"] or ""):
            found.append(Partitioned(table.name, match[1], table.info["period"]))
    return found


async def ensure(
    connection: Connection, tables: Sequence[Partitioned] | None = None, *, now: datetime | None = None
) -> list[str]:
    """Make what is missing around ``now`` (the database's clock when unset) and say what was made.

    ``tables``: all partitioned ones of the metadata when unset. Cheap when nothing is missing, so call it at every
    start. Raises ``asyncpg.LockNotAvailableError`` when somebody keeps a table locked all the time; writers then go on
    in the default partition.
    """
    now = now or await connection.fetchval("SELECT now()")
    assert now is not None
    made: list[str] = []
    for table in partitioned() if tables is None else tables:
        if await _missing(connection, table, now):
            made.extend(await _patiently(connection, partial(_make, connection, table, now)))
    if made:
        log.info("made partitions: %s", ", ".join(made))
    return made


async def drop_expired(
    connection: Connection,
    table: Partitioned,
    retention: timedelta,
    *,
    needed: Check | None = None,
    dropping: Effect | None = None,
    now: datetime | None = None,
) -> list[str]:
    """Drop partitions whose last row is older than ``retention``, oldest first, each in its own transaction.

    ``needed`` says whether one must stay; it is the end of this run, so that what remains has no holes. ``dropping`` is
    called in the transaction that drops a partition, when nobody can write to the table any more.
    """
    now = now or await connection.fetchval("SELECT now()")
    assert now is not None
    existing = [table.named(name) for name in await _existing(connection, table)]
    expired = [one for one in existing if one is not None and one.until <= now - retention]
    dropped: list[str] = []
    for partition in sorted(expired, key=lambda one: one.since):
        # Asked before as well, because the answer may take longer than anybody should wait for the lock.
        if needed is not None and await needed(connection, partition):
            break
        if not await _patiently(connection, partial(_drop, connection, partition, needed, dropping)):
            break
        dropped.append(partition.name)
    if dropped:
        log.info("dropped partitions: %s", ", ".join(dropped))
    return dropped


async def _missing(connection: Connection, table: Partitioned, now: datetime) -> list[Partition | None]:
    """What has to be made; ``None`` stands for the default partition. Those that rows in the default need, too."""
    existing = await _existing(connection, table)
    missing: list[Partition | None] = [] if table.default in existing else [None]
    wanted = {one.name: one for one in table.around(now)}
    if not missing:
        starts = await connection.fetch(
            f"""SELECT DISTINCT date_trunc('{table.period}', {table.column} AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
                FROM {table.default}"""
        )
        strays = (table.starting(row[0].astimezone(UTC)) for row in starts)
        wanted.update({one.name: one for one in strays})
    missing.extend(one for name, one in sorted(wanted.items()) if name not in existing)
    return missing


async def _existing(connection: Connection, table: Partitioned) -> set[str]:
    found = await connection.fetch(
        """SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = to_regclass($1) AND NOT i.inhdetachpending""",
        table.table,
    )
    return {row[0] for row in found}


async def _make(connection: Connection, table: Partitioned, now: datetime) -> list[str]:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    made: list[str] = []
    for partition in await _missing(connection, table, now):
        if partition is None:
            await connection.execute(f"CREATE TABLE {table.default} PARTITION OF {table.table} DEFAULT")
            made.append(table.default)
        else:
            await _fill(connection, partition)
            made.append(partition.name)
    return made


async def _fill(connection: Connection, partition: Partition) -> None:
    """Attach the partition with what the default holds of it.

    Attaching alone would take a weaker lock on the table; but a writer that had chosen the default already, and waited
    for it while we emptied it, would then be refused.
    """
    table, default, column = partition.of.table, partition.of.default, partition.of.column
    await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    await connection.execute(f"CREATE TABLE {partition.name} (LIKE {table} INCLUDING ALL)")
    await connection.execute(
        f"""WITH moved AS (DELETE FROM {default} WHERE {column} >= $1 AND {column} < $2 RETURNING *)
            INSERT INTO {partition.name} SELECT * FROM moved""",
        partition.since,
        partition.until,
    )
    await connection.execute(
        f"""ALTER TABLE {table} ATTACH PARTITION {partition.name}
            FOR VALUES FROM ('{partition.since.isoformat()}') TO ('{partition.until.isoformat()}')"""
    )


async def _drop(connection: Connection, partition: Partition, needed: Check | None, dropping: Effect | None) -> bool:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
    table = partition.of
    if partition.name not in await _existing(connection, table):
        return True
    # Readers and writers wait from here to the commit; none of them holds a row that ``dropping`` needs, because a
    # statement locks its tables before its rows.
    await connection.execute(f"LOCK TABLE {table.table} IN ACCESS EXCLUSIVE MODE")
    if needed is not None and await needed(connection, partition):
        return False
    if dropping is not None:
        await dropping(connection, partition)
    await connection.execute(f"DROP TABLE {partition.name}")
    return True


async def _patiently(connection: Connection, work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` in a transaction that gives up a lock it cannot have at once, until it can.

    A waiting lock makes everybody behind it wait too; so we let them pass between two tries.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                return await work()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if attempt == ATTEMPTS:
                raise
            await asyncio.sleep(min(1.0, 0.05 * attempt))
    raise AssertionError("unreachable")
