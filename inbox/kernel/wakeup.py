"""Wake-ups: "there is something new", between the parts of one process and between nodes.

A wake-up is a hint. It may be lost, doubled or late; whoever subscribes also polls, and that is what makes nothing be
missed. It is published after the commit, never inside the transaction (a NOTIFY there makes writers wait for each
other), on a connection of its own, neighbours joined into one statement. After the listener lost its connection, every
subscriber is called with `full=True`: look at everything once.
"""

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol, TypeAlias
from uuid import UUID

import asyncpg

PG_CHANNEL: Final = "inbox_wakeup"
COALESCE_SECONDS: Final = 0.005
FIRST_BACK_OFF: Final = 0.1
LONGEST_BACK_OFF: Final = 5.0
PROBE_SECONDS: Final = 15.0
_REPLY_SECONDS: Final = 5.0
_MOST_PENDING: Final = 1_000
_TOPIC: Final = re.compile(r"[a-z0-9_.-]{1,64}")

log = logging.getLogger(__name__)

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_Serve: TypeAlias = Callable[[_Connection], Awaitable[None]]
_LOST: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Subscriber(Protocol):
    def __call__(self, workspace_id: UUID | None, *, full: bool) -> None:
        """Called in the event loop; must not block and should only set an event or a flag.

        `workspace_id` is where to look, `None` means in every workspace. `full` says that wake-ups may have been lost.
        """
        ...


class Wakeup:
    """One per process. Works within the process before `start` and after `stop`, and while PostgreSQL is away."""

    def __init__(self, *, coalesce_seconds: float = COALESCE_SECONDS, probe_seconds: float = PROBE_SECONDS) -> None:
        self._coalesce_seconds = coalesce_seconds
        self._probe_seconds = probe_seconds
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._pending: dict[tuple[str, UUID | None], None] = {}
        self._something = asyncio.Event()
        self._listening = asyncio.Event()
        # Our own notifications come back to us; their subscribers were already called directly.
        self._own_backend = 0
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    # --- within the process -------------------------------------------------------------------------------------------

    def subscribe(self, topic: str, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` at every wake-up of this topic; the answer undoes it."""
        _check_topic(topic)
        subscribers = self._subscribers.setdefault(topic, [])
        subscribers.append(subscriber)

        def unsubscribe() -> None:
            with suppress(ValueError):
                subscribers.remove(subscriber)

        return unsubscribe

    def publish(self, topic: str, workspace_id: UUID | None = None) -> None:
        """Wake the subscribers of this process now, and those of other nodes within a few milliseconds.

        Call it in the event loop, after the commit.
        """
        _check_topic(topic)
        self._call(topic, workspace_id, full=False)
        if not self._tasks:
            return
        if len(self._pending) >= _MOST_PENDING:
            # PostgreSQL does not keep up or is away: a topic as a whole says as much, in one entry.
            self._pending = {(one, None): None for one, _ in self._pending}
            workspace_id = None
        self._pending[topic, workspace_id] = None
        self._something.set()

    def _call(self, topic: str, workspace_id: UUID | None, *, full: bool) -> None:
        for subscriber in tuple(self._subscribers.get(topic, ())):
            try:
                subscriber(workspace_id, full=full)
            except Exception:
                # One broken subscriber must not keep the others asleep, nor undo the publisher, whose commit stands.
                log.exception("a subscriber of wake-ups failed", extra={"topic": topic})

    # --- between nodes ------------------------------------------------------------------------------------------------

    async def start(self, dsn: str) -> None:
        """Begin to notify and to listen. Does not wait for PostgreSQL; see `listening`."""
        if self._tasks:
            raise RuntimeError("already started")
        self._tasks = (
            asyncio.create_task(self._supervise(dsn, "listener", self._listen), name="wakeup-listener"),
            asyncio.create_task(self._supervise(dsn, "notifier", self._notify), name="wakeup-notifier"),
        )

    async def stop(self) -> None:
        """Close both connections. What was published in the last milliseconds may go unannounced: others poll."""
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pending.clear()
        self._something.clear()

    @property
    def healthy(self) -> bool:
        """Whether wake-ups of other nodes arrive at this moment."""
        return self._listening.is_set()

    async def listening(self) -> None:
        """Wait until wake-ups of other nodes arrive."""
        await self._listening.wait()

    async def _supervise(self, dsn: str, name: str, serve: _Serve) -> None:
        """Keep one connection alive and serve on it; on loss connect again, waiting longer each time it fails."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            connection: _Connection | None = None
            began = loop.time()
            error: Exception
            try:
                connection = await asyncpg.connect(
                    dsn,
                    timeout=_REPLY_SECONDS,
                    command_timeout=_REPLY_SECONDS,
                    server_settings={"application_name": f"inbox-wakeup-{name}"},
                )
                if failures:
                    log.info("the wake-up %s is connected again", name)
                await serve(connection)
            except Exception as caught:
                error = caught
            finally:
                if connection is not None:
                    connection.terminate()
            failures = 1 if loop.time() - began > 2 * LONGEST_BACK_OFF else failures + 1
            if not isinstance(error, _LOST):
                log.error("the wake-up %s failed; it starts again", name, exc_info=error)
            elif failures == 1:
                log.warning("the wake-up %s lost its connection (%s); polling goes on", name, type(error).__name__)
            # Spread out, so that the nodes do not all come back in the same instant.
            back_off = min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2 ** min(failures, 10))
            await asyncio.sleep(back_off * random.uniform(0.5, 1.0))  # noqa: S311

    async def _listen(self, connection: _Connection) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await connection.add_listener(PG_CHANNEL, self._received)
            self._listening.set()
            # What was announced while nobody listened is found by looking everywhere, once. After LISTEN, not before.
            for topic in tuple(self._subscribers):
                self._call(topic, None, full=True)
            while not lost.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), self._probe_seconds)
                    break
                # A connection can die without a word (a firewall that forgets it); only a question shows that.
                await connection.execute("SELECT 1")
        finally:
            self._listening.clear()
        raise ConnectionResetError

    def _received(self, _connection: object, backend: int, _channel: str, payload: object) -> None:
        if backend == self._own_backend:
            return
        topic, _, workspace = str(payload).partition(" ")
        try:
            workspace_id = UUID(workspace) if workspace else None
        except ValueError:
            return  # not ours, or of a newer version; polling covers it
        self._call(topic, workspace_id, full=False)

    async def _notify(self, connection: _Connection) -> None:
        self._own_backend = connection.get_server_pid()
        while True:
            await self._something.wait()
            self._something.clear()
            batch, self._pending = self._pending, {}
            payloads = [topic if workspace is None else f"{topic} {workspace}" for topic, workspace in batch]
            try:
                await connection.execute(
                    "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", PG_CHANNEL, payloads
                )
            except BaseException:
                self._pending = {**batch, **self._pending}
                self._something.set()
                raise
            # The first goes out at once; what follows shortly after waits for company.
            await asyncio.sleep(self._coalesce_seconds)


def _check_topic(topic: str) -> None:
    if not _TOPIC.fullmatch(topic):
        raise ValueError(f"not a topic: {topic!r}")
