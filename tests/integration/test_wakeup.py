"""Wake-ups over a real PostgreSQL: between two nodes, joined, and after the connection was lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import pytest

from inbox.kernel.wakeup import PG_CHANNEL, Wakeup

Call = tuple[UUID | None, bool]
ONE, TWO = uuid4(), uuid4()


class Calls(list[Call]):
    """A subscriber that remembers."""

    def __call__(self, workspace_id: UUID | None, *, full: bool) -> None:
        self.append((workspace_id, full))


@asynccontextmanager
async def node(dsn: str, **times: float) -> AsyncIterator[tuple[Wakeup, Calls]]:
    """A node that listens to topic `events`; the call at start is already forgotten."""
    wakeup, calls = Wakeup(**times), Calls()
    wakeup.subscribe("events", calls)
    await wakeup.start(dsn)
    try:
        await asyncio.wait_for(wakeup.listening(), 10)
        assert calls == [(None, True)]
        calls.clear()
        yield wakeup, calls
    finally:
        await wakeup.stop()


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.002)


async def backends(dsn: str, name: str, *, terminate: bool = False) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        column = "pg_terminate_backend(pid)" if terminate else "pid"
        rows = await connection.fetch(
            f"SELECT {column} FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()", name
        )
        return len(rows)
    finally:
        await connection.close()


# --- within a process -------------------------------------------------------------------------------------------------


async def test_subscribers_of_the_process_are_called_at_once() -> None:
    wakeup, calls, other = Wakeup(), Calls(), Calls()
    unsubscribe = wakeup.subscribe("events", calls)
    wakeup.subscribe("jobs", other)
    wakeup.publish("events", ONE)
    wakeup.publish("events")
    assert calls == [(ONE, False), (None, False)]
    unsubscribe()
    unsubscribe()
    wakeup.publish("events")
    assert len(calls) == 2
    assert other == []
    assert not wakeup.healthy


async def test_a_broken_subscriber_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(workspace_id: UUID | None, *, full: bool) -> None:
        raise RuntimeError("boom")

    wakeup, calls = Wakeup(), Calls()
    wakeup.subscribe("events", broken)
    wakeup.subscribe("events", calls)
    wakeup.publish("events")
    assert calls == [(None, False)]
    assert "boom" in caplog.text


async def test_a_subscriber_may_leave_while_it_is_called() -> None:
    wakeup, calls = Wakeup(), Calls()

    def once(workspace_id: UUID | None, *, full: bool) -> None:
        leave()

    leave = wakeup.subscribe("events", once)
    wakeup.subscribe("events", calls)
    wakeup.publish("events")
    assert len(calls) == 1


@pytest.mark.parametrize("topic", ["", "two words", "a,b", "UPPER", "x" * 65])
async def test_topics_are_plain_words(topic: str) -> None:
    wakeup = Wakeup()
    with pytest.raises(ValueError, match="topic"):
        wakeup.publish(topic)
    with pytest.raises(ValueError, match="topic"):
        wakeup.subscribe(topic, Calls())


# --- between nodes ----------------------------------------------------------------------------------------------------


async def test_another_node_is_woken_and_ours_not_twice(database_url: str) -> None:
    async with node(database_url) as (one, ours), node(database_url) as (_, theirs):
        assert one.healthy
        one.publish("events", ONE)
        one.publish("events")
        assert ours == [(ONE, False), (None, False)]
        await until(lambda: len(theirs) == 2)
        assert set(theirs) == {(ONE, False), (None, False)}
        await asyncio.sleep(0.1)
        assert len(ours) == 2


async def test_neighbours_are_joined(database_url: str) -> None:
    statements: list[str] = []
    async with node(database_url) as (one, _), node(database_url) as (_, theirs):
        watcher = await asyncpg.connect(database_url)
        try:
            await watcher.add_listener(PG_CHANNEL, lambda *heard: statements.append(str(heard[3])))
            for _ in range(500):
                one.publish("events", ONE)
                one.publish("events", TWO)
            await until(lambda: len(theirs) == 2)
            await asyncio.sleep(0.1)
            assert sorted(theirs) == sorted([(ONE, False), (TWO, False)])
            assert sorted(statements) == sorted([f"events {ONE}", f"events {TWO}"])
        finally:
            await watcher.close()


async def test_the_first_goes_at_once_and_the_next_wait_for_company(database_url: str) -> None:
    async with node(database_url, coalesce_seconds=0.5) as (one, _), node(database_url) as (_, theirs):
        began = time.monotonic()
        one.publish("events", ONE)
        await until(lambda: len(theirs) == 1)
        assert time.monotonic() - began < 0.4
        one.publish("events", TWO)
        await asyncio.sleep(0.05)
        one.publish("events", TWO)
        await until(lambda: len(theirs) == 2)
        assert time.monotonic() - began >= 0.5
        await asyncio.sleep(0.6)
        assert len(theirs) == 2


async def test_very_many_workspaces_become_the_topic_as_a_whole(database_url: str) -> None:
    async with node(database_url) as (one, _), node(database_url) as (_, theirs):
        for _ in range(2_500):
            one.publish("events", uuid4())
        await until(lambda: (None, False) in theirs)
        assert len(theirs) <= 1_001


async def test_strange_payloads_are_left_alone(database_url: str) -> None:
    async with node(database_url) as (wakeup, calls):
        stranger = await asyncpg.connect(database_url)
        try:
            for payload in ("", "events not-a-uuid", "events  ", "nobody", f"events {ONE} more", f"events {ONE}"):
                await stranger.execute("SELECT pg_notify($1, $2)", PG_CHANNEL, payload)
            await until(lambda: len(calls) > 0)
        finally:
            await stranger.close()
        assert calls == [(ONE, False)]
        assert wakeup.healthy


async def test_a_lost_listener_comes_back_and_says_so(database_url: str) -> None:
    async with node(database_url) as (two, calls):
        assert await backends(database_url, "inbox-wakeup-listener", terminate=True) == 1
        await until(lambda: (None, True) in calls)
        await until(lambda: two.healthy)
        calls.clear()
        async with node(database_url) as (one, _):
            one.publish("events", ONE)
            await until(lambda: calls == [(ONE, False)])


async def test_what_was_published_while_the_notifier_was_away_is_sent_later(database_url: str) -> None:
    async with node(database_url) as (one, _):
        assert await backends(database_url, "inbox-wakeup-notifier", terminate=True) == 1
        one.publish("events", ONE)
        async with node(database_url) as (two, theirs):
            await until(lambda: (ONE, False) in theirs)
            assert two.healthy


async def test_a_listener_that_cannot_connect_keeps_trying(caplog: pytest.LogCaptureFixture) -> None:
    wakeup, calls = Wakeup(), Calls()
    wakeup.subscribe("events", calls)
    await wakeup.start("postgresql://nobody@127.0.0.1:1/nothing")
    await asyncio.sleep(0.6)
    wakeup.publish("events", ONE)
    assert calls == [(ONE, False)]
    assert not wakeup.healthy
    assert caplog.text.count("listener lost its connection") == 1  # said once, not at every attempt
    await wakeup.stop()


async def test_a_silent_connection_is_probed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = asyncpg.Connection.execute

    async def execute(self: object, query: str, *args: object, **options: object) -> str:
        asked.append(query)
        if query == "SELECT 1" and asked.count("SELECT 1") == 2:
            raise TimeoutError  # what a peer that vanished without a word looks like
        return str(await real(self, query, *args, **options))  # type: ignore[arg-type]

    monkeypatch.setattr(asyncpg.Connection, "execute", execute)
    async with node(database_url, probe_seconds=0.05) as (wakeup, calls):
        await until(lambda: (None, True) in calls)
        await until(lambda: wakeup.healthy)
    assert asked.count("SELECT 1") >= 2


async def test_stop_leaves_nothing_behind(database_url: str) -> None:
    async with node(database_url) as (wakeup, calls):
        with pytest.raises(RuntimeError, match="already"):
            await wakeup.start(database_url)
        assert await backends(database_url, "inbox-wakeup-listener") == 1
    assert not wakeup.healthy
    for name in ("inbox-wakeup-listener", "inbox-wakeup-notifier"):
        deadline = time.monotonic() + 5
        while await backends(database_url, name) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert await backends(database_url, name) == 0
    wakeup.publish("events")
    assert calls == [(None, False)]
    await wakeup.stop()
