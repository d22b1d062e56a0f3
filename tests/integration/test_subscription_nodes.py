"""Several processes deliver one log: killed at any moment, two at once, told to stop. And what a fault costs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from clock import FakeClock
from subscription_world import Node, Received, Receiver, Receivers, eventually, node, receivers, until

from inbox.kernel.clock import SystemClock

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.fixture
async def hooks() -> AsyncIterator[Receivers]:
    async with receivers() as made:
        yield made


@contextmanager
def process(dsn: str, lease_seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Always ends by SIGKILL."""
    command = [sys.executable, str(HERE / "subscription_process.py"), dsn, str(lease_seconds)]
    path = ":".join(map(str, (ROOT, ROOT / "tests", HERE)))
    with subprocess.Popen(command, env={"PYTHONPATH": path, "PATH": ""}) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGKILL)


async def pausing(received: Received) -> web.Response:
    await asyncio.sleep(0.005)
    return web.Response()


def assert_nothing_is_missing(receiver: Receiver, positions: list[int], conversations: list[UUID]) -> None:
    """Each event at least once, under one id and with one body; by first arrival in order for each conversation."""
    first: dict[str, Received] = {}
    for received in receiver.accepted:
        known = first.setdefault(received.id, received)
        assert known.body == received.body
    assert sorted(received.position for received in first.values()) == positions
    for conversation in conversations:
        own = [one.position for one in first.values() if one.event["conversation_id"] == str(conversation)]
        assert own == sorted(own)


async def test_killed_at_any_moment_nothing_is_lost(database_url: str, hooks: Receivers) -> None:
    receiver, conversations = hooks.add(), [uuid4() for _ in range(25)]
    receiver.behave = pausing
    async with node(database_url, clock=SystemClock(), run=False) as writer:
        caller = await writer.workspace()
        await writer.subscribe(caller, receiver)
        positions: list[int] = []
        for _ in range(60):
            positions += await writer.append(caller.workspace_id, *conversations)
        for goal in (200, 500, 800):
            with process(database_url, 1.0):
                await until(lambda goal=goal: len(receiver.received) >= goal, within=20)  # type: ignore[misc]
        with process(database_url, 1.0):
            await until(lambda: len(set(receiver.positions())) == len(positions), within=30)
            cursor = "SELECT cursor FROM subscriptions"
            await eventually(lambda: writer.fetchval(cursor), positions[-1])
    assert_nothing_is_missing(receiver, positions, conversations)
    repeated = sum(count - 1 for count in Counter(received.id for received in receiver.accepted).values())
    assert repeated < 3 * 400, "a kill repeats what was not written down yet, not the whole log"


async def test_two_nodes_share_the_work_and_repeat_nothing(database_url: str, hooks: Receivers) -> None:
    conversations = [uuid4() for _ in range(10)]
    made = [hooks.add() for _ in range(12)]
    clock = SystemClock()
    async with node(database_url, clock=clock, most_held=7) as one, node(database_url, clock=clock, most_held=7) as two:
        caller = await one.workspace()
        for receiver in made:
            receiver.behave = pausing
            await one.subscribe(caller, receiver)
        positions: list[int] = []
        for turn in range(20):
            positions += await (one, two)[turn % 2].append(caller.workspace_id, *conversations)
        for receiver in made:
            await receiver.gets(200, within=30)
        assert one.worker.held > 0
        assert two.worker.held > 0
    for receiver in made:
        assert len(receiver.received) == 200
        assert_nothing_is_missing(receiver, positions, conversations)


async def test_told_to_stop_it_finishes_and_the_next_one_repeats_nothing(database_url: str, hooks: Receivers) -> None:
    receiver, conversations = hooks.add(), [uuid4() for _ in range(10)]
    receiver.behave = pausing
    positions: list[int] = []
    async with node(database_url) as first:
        caller = await first.workspace()
        await first.subscribe(caller, receiver)
        for _ in range(40):
            positions += await first.append(caller.workspace_id, *conversations)
        await until(lambda: len(receiver.received) >= 100)
    assert 100 <= len(receiver.received) < 400
    assert len(receiver.received) == len(receiver.accepted), "nothing was cut off"
    async with node(database_url):
        await receiver.gets(400)
    assert len(receiver.received) == 400
    assert_nothing_is_missing(receiver, positions, conversations)


async def test_more_subscriptions_than_a_node_holds_take_turns(database_url: str, hooks: Receivers) -> None:
    made = [hooks.add() for _ in range(9)]
    async with node(database_url, most_held=3) as one:
        caller = await one.workspace()
        for receiver in made:
            await one.subscribe(caller, receiver)
        await one.append(caller.workspace_id, uuid4())
        for receiver in made:
            await receiver.gets(1, within=25)


async def test_a_node_that_lost_its_lease_writes_nothing(database_url: str, hooks: Receivers) -> None:
    receiver = hooks.add()
    release = asyncio.Event()

    async def stall(received: Received) -> web.Response:
        await release.wait()
        return web.Response()

    receiver.behave = stall
    async with node(database_url) as one:
        caller = await one.workspace()
        await one.subscribe(caller, receiver)
        [position] = await one.append(caller.workspace_id, uuid4())
        await until(lambda: receiver.received)
        # As if another node had taken over while this one was away.
        before = await one.fetchval(
            "UPDATE subscriptions SET lease = $1, leased_until = now() + interval '1 minute' RETURNING cursor", uuid4()
        )
        release.set()
        await receiver.gets(1)
        await asyncio.sleep(0.5)
        assert await one.fetchval("SELECT cursor FROM subscriptions") == before < position
        assert await one.fetchval("SELECT count(*) FROM subscription_attempts") == 1, "the log tells of it all the same"


async def test_an_outage_of_the_database_stops_and_resumes(database_url: str, hooks: Receivers) -> None:
    """Connections break while events are in the air: after it, everything arrives, in order."""
    receiver, conversations = hooks.add(), [uuid4() for _ in range(10)]
    receiver.behave = pausing
    async with node(database_url, clock=FakeClock()) as one, node(database_url, run=False) as writer:
        caller = await one.workspace()
        await one.subscribe(caller, receiver)
        positions: list[int] = []
        for _ in range(60):
            positions += await writer.append(caller.workspace_id, *conversations)
            if len(positions) % 150 == 0:
                await _cut(one, writer)
        await until(lambda: len(set(receiver.positions())) == 600, within=30)
        await eventually(lambda: writer.fetchval("SELECT cursor FROM subscriptions"), positions[-1])
    assert_nothing_is_missing(receiver, positions, conversations)


async def _cut(one: Node, writer: Node) -> None:
    """End every connection of the node that delivers."""
    pool = one.database._pool
    assert pool is not None
    pids = [holder._con.get_server_pid() for holder in pool._holders if holder._con is not None]  # type: ignore[attr-defined]
    await writer.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)
