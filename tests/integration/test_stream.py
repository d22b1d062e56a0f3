"""The live stream on a real PostgreSQL, real sockets and a real uvicorn: no holes, no repeats, for anybody (P3)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import uuid4

import asyncpg
import pytest
from stream_nodes import (
    CONVERSATIONS,
    OTHER_WORKSPACE,
    WORKSPACE,
    Node,
    collect,
    commit,
    ending,
    epoch_of,
    execute,
    frame,
    prepare_log,
    raw_socket,
    running_node,
    say,
    serving,
    stored,
)
from websockets.asyncio.client import connect

from inbox.kernel.database import Database
from inbox.kernel.eventlog import EVERYONE, SUPERVISORS, Audience
from inbox.realtime.client import Reset
from inbox.realtime.closing import CloseCode
from inbox.realtime.hub import Pace


@pytest.fixture
async def log_url(database_url: str) -> str:
    return await prepare_log(database_url)


@pytest.fixture
async def node(log_url: str) -> AsyncIterator[Node]:
    async with running_node(log_url) as made, serving(made):
        yield made


# --- P3 ---------------------------------------------------------------------------------------------------------------


async def test_everybody_collects_the_exact_sequence_while_sockets_drop_and_three_nodes_write(log_url: str) -> None:
    """Writers: this node, another node that only notifies, and one so deaf and dumb that only polling finds it."""
    epoch = await epoch_of(log_url)
    writes, per_write = 60, 3
    async with (
        running_node(log_url, ring_events=64, poll_seconds=0.3) as node,
        serving(node),
        running_node(log_url) as second,
        running_node(log_url, listening=False) as silent,
    ):

        async def write(database: Database, kind: str) -> None:
            for _ in range(writes):
                audience: Audience = random.choice((EVERYONE, EVERYONE, SUPERVISORS))
                await commit(database, random.randint(1, per_write), kind=kind, audience=audience)
                await asyncio.sleep(random.random() * 0.02)

        done = asyncio.Event()

        async def watch(role: str, wanted: dict[str, object] | None) -> list[tuple[int, str]]:
            client = node.client(role, epoch=epoch, wanted=wanted)
            got: list[tuple[int, str]] = []
            while True:
                stays = random.random() * 0.25
                with contextlib.suppress(TimeoutError):
                    async with (
                        asyncio.timeout(stays if not done.is_set() else 0.5),
                        aclosing(client.events()) as stream,
                    ):
                        async for event in stream:
                            got.append((event.position, event.kind))
                if done.is_set() and client.position == head():
                    return got

        def head() -> int:
            return max(room.head for room in node.hub.tails.rooms())

        views: list[tuple[str, dict[str, object] | None]] = [
            ("agent", None),
            ("agent", None),
            ("supervisor", None),
            ("admin", {"kinds": ["second"]}),
            ("agent", {"kinds": ["own", "silent"]}),
        ] * 2
        readers = [asyncio.create_task(watch(role, wanted)) for role, wanted in views]
        writers = [(node, "own"), (node, "own"), (second, "second"), (silent, "silent")]
        await asyncio.gather(*(write(one.database, kind) for one, kind in writers))
        total = len(await stored(log_url))
        async with asyncio.timeout(20):
            while head() < total:
                await asyncio.sleep(0.02)
            done.set()
            collected = await asyncio.gather(*readers)

    log = await stored(log_url)
    assert [position for position, _, _ in log] == list(range(1, len(log) + 1))
    for (role, wanted), got in zip(views, collected, strict=True):
        kinds = wanted["kinds"] if wanted else None
        owed = [
            (position, kind)
            for position, kind, audience in log
            if (audience == EVERYONE or role != "agent") and (kinds is None or kind in kinds)  # type: ignore[operator]
        ]
        assert got == owed, f"{role} {wanted}"


async def test_a_commit_of_another_node_arrives_by_its_wake_up_before_any_poll(log_url: str) -> None:
    epoch = await epoch_of(log_url)
    async with running_node(log_url, poll_seconds=60) as node, serving(node), running_node(log_url) as second:
        async with raw_socket(node, epoch=str(epoch), after=0) as one:
            await frame(one, "heartbeat")
            await second.commit(5)
            got = [await frame(one, "event") for _ in range(5)]
        assert [event["position"] for event in got] == [1, 2, 3, 4, 5]


async def test_a_commit_that_nobody_announced_arrives_by_the_poll(log_url: str) -> None:
    epoch = await epoch_of(log_url)
    async with (
        running_node(log_url) as node,
        serving(node),
        running_node(log_url, listening=False) as silent,
        raw_socket(node, epoch=str(epoch), after=0) as one,
    ):
        await frame(one, "heartbeat")
        await silent.commit()
        async with asyncio.timeout(1.5):
            assert (await frame(one, "event"))["position"] == 1


async def test_an_own_commit_behind_a_gap_makes_the_gap_be_read_at_once(log_url: str) -> None:
    epoch = await epoch_of(log_url)
    async with (
        running_node(log_url, poll_seconds=60) as node,
        serving(node),
        running_node(log_url, listening=False) as silent,
        raw_socket(node, epoch=str(epoch), after=0) as one,
    ):
        await frame(one, "heartbeat")
        await silent.commit(3)
        await node.commit(1)
        assert [(await frame(one, "event"))["position"] for _ in range(4)] == [1, 2, 3, 4]


async def test_a_listener_that_comes_back_looks_everywhere_once(log_url: str) -> None:
    epoch = await epoch_of(log_url)
    async with (
        running_node(log_url, poll_seconds=60) as node,
        serving(node),
        running_node(log_url, listening=False) as silent,
        raw_socket(node, epoch=str(epoch), after=0) as one,
    ):
        await frame(one, "heartbeat")
        connection = await asyncpg.connect(log_url)
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'inbox-wakeup-listener' "
            "AND datname = current_database()"
        )
        await connection.close()
        await silent.commit()
        assert (await frame(one, "event"))["position"] == 1


async def test_workspaces_do_not_see_each_other(node: Node) -> None:
    async with raw_socket(node, after=None) as one:
        await frame(one, "heartbeat")
        await node.commit(2, OTHER_WORKSPACE)
        await node.commit(1, text="ours")
        event = await frame(one, "event")
        assert (event["position"], event["data"]) == (1, {"n": 0, "text": "ours"})


# --- resume and reset -------------------------------------------------------------------------------------------------


async def test_old_cursors_are_served_from_the_database_in_shared_reads(log_url: str) -> None:
    async with running_node(log_url, ring_events=16) as node, serving(node):
        epoch = await epoch_of(log_url)
        for _ in range(6):
            await node.commit(200)
        clients = [node.client(epoch=epoch, after=n) for n in range(40)]
        got = await asyncio.gather(*(collect(client, 1200 - n) for n, client in enumerate(clients)))
        for n, one in enumerate(got):
            assert [event.position for event in one] == list(range(n + 1, 1201))
        assert node.hub.catch_up.reads <= 12


@pytest.mark.parametrize("reason", ["unknown_epoch", "future", "beyond_retention", "too_far_behind"])
async def test_a_cursor_that_cannot_be_resumed_is_reset_and_a_snapshot_goes_on(log_url: str, reason: str) -> None:
    async with running_node(log_url, most_behind=50) as node, serving(node):
        epoch = await epoch_of(log_url)
        await node.commit(100)
        await execute(log_url, "DELETE FROM events WHERE position <= 60")
        await execute(log_url, "UPDATE event_logs SET floor = 60 WHERE workspace_id = $1", WORKSPACE)
        if reason == "too_far_behind":
            await node.commit(40)
        head = 140 if reason == "too_far_behind" else 100
        cursor = {
            "unknown_epoch": (uuid4(), 90),
            "future": (epoch, 1000),
            "beyond_retention": (epoch, 59),
            "too_far_behind": (epoch, 60),
        }[reason]
        client = node.client(epoch=cursor[0], after=cursor[1])
        with pytest.raises(Reset) as reset:
            await collect(client, 1)
        assert (reset.value.reason, reset.value.epoch, reset.value.position) == (reason, epoch, head)
        client.restart(reset.value.epoch, reset.value.position)
        await node.commit(1)
        assert [event.position for event in await collect(client, 1)] == [head + 1]


async def test_the_floor_itself_is_still_good(log_url: str) -> None:
    async with running_node(log_url) as node, serving(node):
        await node.commit(10)
        await execute(log_url, "DELETE FROM events WHERE position <= 6")
        await execute(log_url, "UPDATE event_logs SET floor = 6 WHERE workspace_id = $1", WORKSPACE)
        got = await collect(node.client(epoch=await epoch_of(log_url), after=6), 4)
        assert [event.position for event in got] == [7, 8, 9, 10]


async def test_a_log_that_is_rebuilt_resets_its_live_readers(node: Node, log_url: str) -> None:
    await node.commit(3)
    async with raw_socket(node, after=None) as one:
        await frame(one, "heartbeat")
        fresh = uuid4()
        await execute(log_url, "UPDATE event_logs SET epoch = $1, head = 2 WHERE workspace_id = $2", fresh, WORKSPACE)
        reset = await frame(one, "reset")
        assert (reset["epoch"], reset["position"], reset["reason"]) == (str(fresh), 2, "log_rebuilt")


async def test_a_cursor_ahead_of_this_node_is_no_cursor_from_the_future(log_url: str) -> None:
    """Another node showed the client more than this one has read so far."""
    epoch = await epoch_of(log_url)
    async with (
        running_node(log_url, poll_seconds=60, listening=False) as node,
        serving(node),
        running_node(log_url, listening=False) as other,
        raw_socket(node, after=None) as one,
    ):
        await frame(one, "heartbeat")
        await other.commit(5)
        async with raw_socket(node, epoch=str(epoch), after=5) as two:
            assert (await frame(two, "resumed", "reset"))["type"] == "resumed"
        assert (await frame(one, "event"))["position"] == 1


# --- heartbeats, filters, slow sockets --------------------------------------------------------------------------------


async def test_a_heartbeat_moves_a_client_that_may_see_nothing(node: Node) -> None:
    async with raw_socket(node, filter={"kinds": ["nothing.of.the.kind"]}) as one:
        await frame(one, "heartbeat")
        await node.commit(7)
        async with asyncio.timeout(3):
            while (beat := await frame(one, "heartbeat", "event"))["position"] != 7:
                assert beat["type"] == "heartbeat"


async def test_a_filter_can_change_while_live(node: Node) -> None:
    async with raw_socket(node, filter={"kinds": ["a"]}) as one:
        await frame(one, "heartbeat")
        await node.commit(1, kind="a")
        await node.commit(1, kind="b")
        assert (await frame(one, "event"))["kind"] == "a"
        await say(one, type="filter", filter={"kinds": ["b"], "conversation_ids": [str(CONVERSATIONS[0])]})
        assert (await frame(one, "filtered"))["position"] == 2
        await node.commit(1, kind="a")
        await node.commit(1, kind="b", conversation_id=CONVERSATIONS[1])
        await node.commit(1, kind="b", conversation_id=CONVERSATIONS[0])
        event = await frame(one, "event")
        assert (event["position"], event["kind"]) == (5, "b")
        assert int(str(event["previous"])) <= 4


async def test_a_slow_socket_is_closed_by_name_and_delays_nobody(log_url: str) -> None:
    pace = Pace(heartbeat=0.5, queue_bytes=512 * 1024)
    async with running_node(log_url, pace=pace) as node, serving(node):
        ticket = node.callers.ticket(node.callers.principal("agent"))
        loop = asyncio.get_running_loop()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", node.port))
        async with connect(f"{node.url}?ticket={ticket}", sock=deaf, compression=None, close_timeout=1) as slow:
            await say(slow, type="resume")
            await frame(slow, "heartbeat")
            slow.transport.pause_reading()
            quick = node.client(epoch=await epoch_of(log_url))
            reading = asyncio.create_task(collect(quick, 600, 20))
            for _ in range(600):
                await asyncio.wait_for(node.commit(1, text="y" * 20_000), 1)
            assert [event.position for event in await reading] == list(range(1, 601))
            assert quick.reconnects == 0
            async with asyncio.timeout(5):
                while node.hub.counts()["sockets"]:
                    await asyncio.sleep(0.02)
            slow.transport.resume_reading()
            # It reads what had been written before, then why it was closed.
            closed = await ending(slow)
            assert closed.rcvd is not None
            assert closed.rcvd.code == CloseCode.SLOW_CONSUMER


@pytest.mark.parametrize("ours", [True, False], ids=["our protocol class", "uvicorn's own"])
async def test_an_event_beyond_the_limit_of_a_socket_reaches_the_live_and_those_who_resume(
    log_url: str, ours: bool
) -> None:
    epoch = await epoch_of(log_url)
    async with (
        running_node(log_url, pace=Pace(heartbeat=0.5, queue_bytes=256 * 1024)) as node,
        serving(node, ours=ours),
    ):
        live = node.client(epoch=epoch)
        reading = asyncio.create_task(collect(live, 4))
        await live_readers(node, 1)
        await node.commit(1)
        await node.commit(1, text="y" * 3_000_000)
        await node.commit(1, text="y" * 3_000_000)
        await node.commit(1)
        assert [event.position for event in await reading] == [1, 2, 3, 4]
        late = node.client(epoch=epoch)
        assert [event.position for event in await collect(late, 4)] == [1, 2, 3, 4]
        assert (live.reconnects, late.reconnects) == (0, 0)


@pytest.mark.parametrize("ours", [True, False], ids=["our protocol class", "uvicorn's own"])
async def test_a_burst_beyond_the_limit_of_a_socket_closes_nobody_who_reads(log_url: str, ours: bool) -> None:
    epoch = await epoch_of(log_url)
    async with (
        running_node(log_url, pace=Pace(heartbeat=0.5, queue_bytes=256 * 1024)) as node,
        serving(node, ours=ours),
    ):
        clients = [node.client(role, epoch=epoch) for role in ("agent", "agent", "supervisor")]
        reading = [asyncio.create_task(collect(client, 402)) for client in clients]
        await live_readers(node, 3)
        await node.commit(1)
        await node.commit(400, text="y" * 20_000)
        await node.commit(1)
        for got in await asyncio.gather(*reading):
            assert [event.position for event in got] == list(range(1, 403))
        assert [client.reconnects for client in clients] == [0, 0, 0]


async def test_a_socket_that_does_not_read_is_closed_behind_a_burst_too(
    log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inbox.realtime.catchup.DRAIN_SECONDS", 0.5)
    pace = Pace(heartbeat=0.5, queue_bytes=256 * 1024)
    async with (
        running_node(log_url, pace=pace) as node,
        serving(node),
        raw_socket(node, after=None) as deaf,
    ):
        await frame(deaf, "heartbeat")
        deaf.transport.pause_reading()
        await node.commit(800, text="y" * 20_000)
        async with asyncio.timeout(5):
            while node.hub.counts()["live"] or any(room.sessions for room in node.hub.tails.rooms()):
                await asyncio.sleep(0.02)
        deaf.transport.resume_reading()
        closed = await ending(deaf)
        assert closed.rcvd is not None
        assert closed.rcvd.code == CloseCode.SLOW_CONSUMER


async def live_readers(node: Node, count: int) -> None:
    async with asyncio.timeout(5):
        while node.hub.counts()["live"] < count:
            await asyncio.sleep(0.005)
