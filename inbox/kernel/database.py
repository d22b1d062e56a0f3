"""The connection pool and the unit of work: one transaction, its events last, its wake-ups after the commit.

Repositories write plain SQL over asyncpg; the SQLAlchemy tables define the schema (decision 0002). Nobody but
``Database`` begins or commits. Whatever a unit of work recorded is numbered as its very last statement, so the lock on
the log's counter is held only for the length of a commit (see ``eventlog``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

import asyncpg

from inbox.kernel.connection import Connection, prepare_connection
from inbox.kernel.errors import Unavailable
from inbox.kernel.eventlog import Event, EventLog, StoredEvent

log = logging.getLogger(__name__)

T = TypeVar("T")

GONE = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server said goodbye between two statements of ours
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""The database cannot take the work now: not the caller's fault, and worth another try later."""


async def _as_it_was(connection: Connection) -> None:
    """Between two users asyncpg would undo every kind of session state, which costs a round trip each time.

    Nobody leaves any: settings and locks are LOCAL to transactions, and listeners have connections of their own. An
    open transaction is rolled back all the same, before this is called.
    """


class DatabaseUnavailable(Unavailable):
    """PostgreSQL cannot be reached or cannot write. Nothing was changed, or the commit's outcome is unknown."""

    code = "database_unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after=5)


class Contended(Unavailable):
    """Another transaction got there first. Run the transaction again: it will find what the other one wrote.

    Who does not is answered 503 and may ask again.
    """

    code = "contended"

    def __init__(self, detail: str = "others changed the same thing at the same moment") -> None:
        super().__init__(detail, retry_after=1)


BROKEN_CIRCLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
CONTENDED = (Contended, *BROKEN_CIRCLE)


def _one_line(record: logging.LogRecord) -> bool:
    """While PostgreSQL is away the pool tries again and again: a line each time will do."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, GONE):
        record.msg, record.args = f"{record.getMessage()} ({type(error).__name__})", ()
        record.exc_info = record.exc_text = None
    return True


logging.getLogger("asyncpg.pool").addFilter(_one_line)


class UnitOfWork:
    """One open transaction. ``record`` events at any time; they become visible, in this order, with the commit."""

    __slots__ = ("_after_commit", "_events", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._events: list[Event] = []
        self._after_commit: list[Callable[[], None]] = []

    def record(self, event: Event) -> None:
        self._events.append(event)

    def record_all(self, events: Sequence[Event]) -> None:
        self._events.extend(events)

    def recorded(self, *, since: int = 0) -> Sequence[Event]:
        """What this transaction will say so far, without the first ``since`` events."""
        return self._events[since:]

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call once the transaction is durable. For wake-ups only: a crash may skip it."""
        self._after_commit.append(callback)

    async def time(self) -> datetime:
        """The present moment by the database's clock. A node's own may be minutes off, and must not decide."""
        now: datetime = await self.connection.fetchval("SELECT clock_timestamp()")
        return now

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        return await self.connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        return await self.connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        return await self.connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        return await self.connection.execute(query, *args)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Undo only this part, events included, when the block raises."""
        events, callbacks = len(self._events), len(self._after_commit)
        try:
            async with self.connection.transaction():
                yield
        except BaseException:
            del self._events[events:]
            del self._after_commit[callbacks:]
            raise


class Reactions(Protocol):
    """Whoever acts on recorded events inside their transaction: ``reactions.Reactions``."""

    async def follow(self, unit: UnitOfWork) -> None: ...


class Database:
    """A pool of asyncpg connections. Start it inside the loop that uses it."""

    def __init__(self, dsn: str, *, connections: int, event_log: EventLog, reactions: Reactions | None = None) -> None:
        self._dsn = dsn
        self._connections = connections
        self._event_log = event_log
        self._reactions = reactions
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @property
    def dsn(self) -> str:
        return self._dsn

    async def start(self) -> None:
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=min(4, self._connections),
                max_size=self._connections,
                max_inactive_connection_lifetime=300,
                command_timeout=60,
                init=prepare_connection,
                reset=_as_it_was,
                server_settings={"application_name": "inbox", "jit": "off"},
            )
        except GONE as error:
            raise DatabaseUnavailable(f"PostgreSQL cannot be reached ({type(error).__name__})") from error

    async def stop(self) -> None:
        if self._pool is None:
            return
        try:
            await asyncio.wait_for(self._pool.close(), 10)
        except (TimeoutError, *GONE):
            self._pool.terminate()
        self._pool = None

    @asynccontextmanager
    async def transaction(
        self, *, isolation: Literal["read_committed", "repeatable_read"] = "read_committed", readonly: bool = False
    ) -> AsyncIterator[UnitOfWork]:
        """Commit when the block ends, roll back when it raises. Raises ``DatabaseUnavailable``, ``Contended``."""
        stored: list[StoredEvent] = []
        try:
            async with (
                self._connection() as connection,
                connection.transaction(isolation=isolation, readonly=readonly),
            ):
                unit = UnitOfWork(connection)
                yield unit
                if unit._events:
                    if self._reactions is not None:
                        await self._reactions.follow(unit)
                    stored = await self._event_log.append(connection, unit._events)
        except BROKEN_CIRCLE as error:
            raise Contended from error
        announce: Callable[[], None] = partial(self._event_log.committed, stored)
        for follow in (announce, *unit._after_commit):
            try:
                follow()
            except Exception:
                # The commit stands: whoever made it must not take it for a failure.
                log.exception("something that follows a commit failed")

    def snapshot(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """A read-only transaction in which every query sees the same instant."""
        return self.transaction(isolation="repeatable_read", readonly=True)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A connection without a transaction, for single statements."""
        async with self._connection() as connection:
            yield connection

    async def retrying(self, work: Callable[[UnitOfWork], Awaitable[T]], *, attempts: int = 5) -> T:
        """Run ``work`` in a transaction, again when others got in the way. ``work`` must have no other effects."""
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction() as unit:
                    return await work(unit)
            except CONTENDED:
                if attempt == attempts:
                    raise
                await asyncio.sleep(0.005 * 2**attempt)
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        if self._pool is None:
            raise DatabaseUnavailable("The database is not started")
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except GONE as error:
            raise DatabaseUnavailable(f"PostgreSQL is not available ({type(error).__name__})") from error
