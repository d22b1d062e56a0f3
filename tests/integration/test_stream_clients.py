"""How clients come in, are sent away, command and notice each other; and the stream over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from stream_nodes import (
    CONVERSATIONS,
    WORKSPACE,
    Node,
    collect,
    ending,
    epoch_of,
    frame,
    next_event,
    prepare_log,
    raw_socket,
    running_node,
    say,
    serving,
    stored,
)
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from inbox.agents.authentication import TOKENS_TOPIC
from inbox.agents.principal import Principal
from inbox.kernel.eventlog import SUPERVISORS
from inbox.realtime.client import Closed, CommandRefused, StreamClient
from inbox.realtime.closing import CloseCode
from inbox.realtime.hub import Pace


@pytest.fixture
async def log_url(database_url: str) -> str:
    return await prepare_log(database_url)


@pytest.fixture
async def node(log_url: str) -> AsyncIterator[Node]:
    async with running_node(log_url) as made, serving(made):
        yield made


# --- tickets, revocation, commands, notices ---------------------------------------------------------------------------


async def test_a_ticket_may_come_in_the_query_a_subprotocol_or_the_first_message(node: Node) -> None:
    def ticket() -> str:
        return node.callers.ticket(node.callers.principal("agent"))

    async with connect(f"{node.url}?ticket={ticket()}", proxy=None) as one:
        assert (await frame(one))["type"] == "hello"
    protocols = ["inbox.v1", f"ticket.{ticket()}"]
    async with connect(node.url, subprotocols=protocols, proxy=None) as one:  # type: ignore[arg-type]
        assert one.subprotocol == "inbox.v1"
        assert (await frame(one))["type"] == "hello"
    async with connect(node.url, proxy=None) as one:
        await say(one, type="ticket", ticket=ticket())
        assert (await frame(one))["type"] == "hello"


@pytest.mark.parametrize("ours", [True, False], ids=["our protocol class", "uvicorn's own"])
async def test_a_ticket_is_not_logged(log_url: str, caplog: pytest.LogCaptureFixture, ours: bool) -> None:
    async with running_node(log_url) as node, serving(node, ours=ours):
        with caplog.at_level(logging.INFO):
            async with raw_socket(node) as one:
                await one.close()
            with contextlib.suppress(ConnectionClosed):
                async with connect(f"{node.url}?a=b&ticket=no-such-secret", proxy=None) as refused:
                    await refused.recv()
    assert "accepted" in caplog.text
    assert "ticket" not in caplog.text
    assert "no-such-secret" not in caplog.text


async def test_a_ticket_works_once(node: Node) -> None:
    ticket = node.callers.ticket(node.callers.principal("agent"))
    async with connect(f"{node.url}?ticket={ticket}", proxy=None) as one:
        await frame(one)
        async with connect(f"{node.url}?ticket={ticket}", proxy=None) as two:
            with pytest.raises(ConnectionClosed) as closed:
                await two.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.TICKET_INVALID


async def test_a_client_stops_when_its_tickets_are_refused(node: Node) -> None:
    async def get_ticket() -> str:
        return "wrong"

    with pytest.raises(Closed) as closed:
        await collect(StreamClient(node.url, get_ticket), 1)
    assert closed.value.code == CloseCode.TICKET_INVALID


@pytest.mark.parametrize(
    ("stable", "failures"),
    [pytest.param(60.0, [1, 2, 3, 4], id="at once"), pytest.param(0.0, [1, 1, 1, 1], id="after a while")],
)
async def test_a_client_backs_off_from_a_server_that_lets_it_in_and_ends(
    monkeypatch: pytest.MonkeyPatch, stable: float, failures: list[int]
) -> None:
    enough, seen = asyncio.Event(), []

    def back_off(count: int) -> float:
        seen.append(count)
        if len(seen) == len(failures):
            enough.set()
        return 0.0

    async def greet_and_end(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send('{"type":"hello","protocol":1}')
        await socket.send('{"type":"heartbeat","position":1}')
        await socket.close(CloseCode.SLOW_CONSUMER)

    async def get_ticket() -> str:
        return "any"

    monkeypatch.setattr("inbox.realtime.client._back_off", back_off)
    monkeypatch.setattr("inbox.realtime.client.STABLE_SECONDS", stable)
    async with serve(greet_and_end, "127.0.0.1", 0, subprotocols=["inbox.v1"]) as server:  # type: ignore[list-item]
        port = server.sockets[0].getsockname()[1]
        reading = asyncio.create_task(collect(StreamClient(f"ws://127.0.0.1:{port}", get_ticket), 1))
        await asyncio.wait_for(enough.wait(), 5)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert seen[: len(failures)] == failures


@pytest.mark.parametrize(
    "message", ["{", '{"type":"resume","after":1}', '{"type":"nonsense"}', '{"type":"ticket","ticket":"x"}']
)
async def test_a_bad_frame_closes_the_socket_by_name(node: Node, message: str) -> None:
    async with raw_socket(node) as one:
        await one.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(one.recv(), 5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.BAD_FRAME


async def test_a_scope_without_the_stream_is_refused(node: Node) -> None:
    principal = Principal(WORKSPACE, uuid4(), "key", "agent", uuid4(), frozenset({"contacts.read"}))
    async with connect(f"{node.url}?ticket={node.callers.ticket(principal)}", proxy=None) as one:
        with pytest.raises(ConnectionClosed) as closed:
            await one.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.FORBIDDEN


@pytest.mark.parametrize("how", ["heartbeat", "topic of another node"])
async def test_a_revoked_session_is_closed_by_name(log_url: str, how: str) -> None:
    pace = Pace(heartbeat=0.2 if how == "heartbeat" else 60)
    async with running_node(log_url, pace=pace) as node, serving(node), running_node(log_url) as second:
        principal, stays = node.callers.principal("agent"), node.callers.principal("agent")
        client = StreamClient(node.url, node.callers.tickets(principal))
        other = StreamClient(node.url, node.callers.tickets(stays))
        reading = asyncio.create_task(collect(client, 1))
        keeps_reading = asyncio.create_task(collect(other, 1))
        async with asyncio.timeout(5):
            while node.hub.counts()["live"] < 2:
                await asyncio.sleep(0.01)
        node.callers.revoked.add(principal.token_id)
        if how != "heartbeat":
            second.wakeup.publish(TOKENS_TOPIC, WORKSPACE)
        with pytest.raises(Closed) as closed:
            await reading
        assert closed.value.code == CloseCode.REVOKED
        await node.commit()
        assert len(await keeps_reading) == 1


async def test_commands_are_answered_under_their_id(node: Node) -> None:
    client = node.client()
    reading = asyncio.create_task(collect(client, 1))
    async with asyncio.timeout(5):
        while node.hub.counts()["live"] < 1:
            await asyncio.sleep(0.01)
    assert (await client.command("pong", {"a": 1}))["args"] == {"a": 1}
    with pytest.raises(CommandRefused) as refused:
        await client.command("pong", {"refuse": True})
    assert refused.value.problem["code"] == "conflict"
    with pytest.raises(CommandRefused) as unknown:
        await client.command("no_such", {})
    assert unknown.value.problem["code"] == "unknown_command"
    await node.commit()
    await reading


async def test_typing_viewing_and_presence_reach_the_other_nodes(log_url: str) -> None:
    async with (
        running_node(log_url) as node,
        serving(node),
        running_node(log_url) as second,
        serving(second),
        raw_socket(node, after=None) as one,
    ):

        async def presence() -> dict[str, Any]:
            while (notice := await frame(one, "ephemeral"))["kind"] != "presence":
                pass
            return notice

        alone = await presence()
        assert alone["full"]
        (me,) = alone["agents"]
        async with raw_socket(second, after=None) as two:
            await frame(two, "heartbeat")
            (arrived,) = (await presence())["agents"]
            assert (arrived["online"], arrived["viewing"]) == (True, [])
            assert arrived["agent_id"] != me["agent_id"]
            where = str(CONVERSATIONS[0])
            await say(two, type="typing", conversation_id=where)
            typing = await frame(one, "ephemeral")
            assert (typing["kind"], typing["conversation_id"], typing["on"]) == ("typing", where, True)
            assert typing["agent_id"] == arrived["agent_id"]
            await say(two, type="viewing", conversation_id=where)
            (viewing,) = (await presence())["agents"]
            assert viewing == {**arrived, "viewing": [where]}
        (gone,) = (await presence())["agents"]
        assert gone == {**arrived, "online": False}
    assert await stored(log_url) == []


async def test_a_server_that_stops_sends_everybody_away_by_name(log_url: str) -> None:
    async with running_node(log_url) as node:
        epoch = await epoch_of(log_url)
        async with serving(node):
            client = node.client(epoch=epoch)
            reading = asyncio.create_task(collect(client, 2))
            async with raw_socket(node, after=None) as one:
                await frame(one, "heartbeat")
                await node.commit()
                await frame(one, "event")
                stopping = asyncio.create_task(node.hub.stop())
                closed = await ending(one)
                assert closed.rcvd is not None
                assert closed.rcvd.code == CloseCode.GOING_AWAY
                await stopping
        port = node.port
    async with running_node(log_url) as again:
        again.port = port
        again.callers.tokens = node.callers.tokens
        async with serving(again):
            await again.commit()
            assert [event.position for event in await reading] == [1, 2]


async def test_any_asgi_server_will_do(log_url: str) -> None:
    async with running_node(log_url) as node, serving(node, ours=False):
        await node.commit(300)
        got = await collect(node.client(epoch=await epoch_of(log_url)), 300)
        assert [event.position for event in got] == list(range(1, 301))
        async with raw_socket(node, after=None) as one:
            await frame(one, "heartbeat")
            await node.commit(3)
            assert [(await frame(one, "event"))["position"] for _ in range(3)] == [301, 302, 303]
            await one.send("{")
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(one.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CloseCode.BAD_FRAME


# --- plain HTTP -------------------------------------------------------------------------------------------------------


async def test_the_long_poll_reads_the_same_log_through_the_same_check(node: Node, log_url: str) -> None:
    epoch = str(await epoch_of(log_url))
    await node.commit(2)
    await node.commit(1, audience=SUPERVISORS)
    await node.commit(1, kind="note.created")
    async with aiohttp.ClientSession() as http:

        async def poll(role: str, **query: object) -> tuple[int, dict[str, object]]:
            token = node.callers.ticket(node.callers.principal(role))
            headers = {"Authorization": f"Bearer {token}"}
            params = {name: str(value) for name, value in query.items()}
            async with http.get(node.events_url, params=params, headers=headers) as response:
                return response.status, await response.json(content_type=None)

        def positions(page: dict[str, object]) -> list[int]:
            return [event["position"] for event in page["events"]]  # type: ignore[attr-defined]

        _, page = await poll("agent", epoch=epoch, after=0)
        assert (positions(page), page["position"]) == ([1, 2, 4], 4)
        _, page = await poll("supervisor", epoch=epoch, after=0, limit=3)
        assert (positions(page), page["position"]) == ([1, 2, 3], 3)
        _, page = await poll("agent", epoch=epoch, after=0, kind="note.created")
        assert (positions(page), page["position"]) == ([4], 4)
        _, page = await poll("agent")
        assert (positions(page), page["position"], page["epoch"]) == ([], 4, epoch)

        waiting = asyncio.create_task(poll("agent", epoch=epoch, after=4, wait=5))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await node.commit()
        _, page = await asyncio.wait_for(waiting, 2)
        assert positions(page) == [5]
        _, page = await poll("agent", epoch=epoch, after=5, wait=0.05)
        assert (positions(page), page["position"]) == ([], 5)

        status, problem = await poll("agent", epoch=uuid4(), after=1)
        assert (status, problem["code"], problem["reason"], problem["position"]) == (
            409,
            "reset_required",
            "unknown_epoch",
            5,
        )
        assert (await poll("agent", after=1))[0] == 400
        assert (await poll("agent", epoch=epoch, after=-1))[0] == 422
        assert (await poll("agent", epoch=epoch, after=0, wait=9999))[0] == 422
        async with http.get(node.events_url) as response:
            assert response.status == 401


async def test_server_sent_events_resume_by_their_last_id(node: Node, log_url: str) -> None:
    epoch = str(await epoch_of(log_url))
    await node.commit(3)
    token = node.callers.ticket(node.callers.principal("agent"))
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream", "Last-Event-ID": f"{epoch}:1"}
    async with aiohttp.ClientSession() as http:
        async with http.get(node.events_url, headers=headers) as response:
            assert response.content_type == "text/event-stream"
            seen = [await next_event(response) for _ in range(3)]
            assert [(name, document["type"]) for name, document in seen] == [
                (f"{epoch}:2", "event"),
                (f"{epoch}:3", "event"),
                (f"{epoch}:3", "heartbeat"),
            ]
            await node.commit()
            while (live := await next_event(response))[1]["type"] != "event":
                pass
            assert live[0] == f"{epoch}:4"
        async with http.get(node.events_url, headers={**headers, "Last-Event-ID": "1"}) as response:
            assert response.status == 400
        async with http.get(node.events_url, headers={**headers, "Last-Event-ID": f"{epoch}:999"}) as response:
            assert (response.status, (await response.json(content_type=None))["reason"]) == (409, "future")
        async with http.get(f"{node.events_url}?limit=x", headers=headers) as response:
            assert response.status == 422
