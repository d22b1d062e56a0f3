"""The unit of work on a real PostgreSQL: what follows a commit, and transactions that get in each other's way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import pytest
from builders import Node, make_workspace, start_node

from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.errors import Unavailable
from inbox.kernel.eventlog import Event


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    node = await start_node(database_url)
    yield node
    await node.database.stop()


def fail(*_: object) -> None:
    raise RuntimeError("a bug in a listener")


async def test_what_fails_behind_a_commit_is_logged_and_stops_nothing(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    workspace_id = await make_workspace(node)
    node.event_log.listen(fail)
    called: list[str] = []
    with caplog.at_level(logging.ERROR):
        async with node.database.transaction() as unit:
            unit.record(Event(workspace_id, "test.happened", b"{}"))
            unit.after_commit(fail)
            unit.after_commit(lambda: called.append("the next one"))

    assert called == ["the next one"]
    assert [record.message for record in caplog.records] == ["something that follows a commit failed"] * 2
    assert await node.fetchval("SELECT head FROM event_logs WHERE workspace_id = $1", workspace_id) == 1


async def test_one_of_two_that_wait_for_each_other_is_told_to_come_again(node: Node) -> None:
    first, second = sorted([await make_workspace(node), await make_workspace(node)])
    barrier = asyncio.Barrier(2)

    async def lock(workspaces: Sequence[object]) -> None:
        async with node.database.transaction() as unit:
            for workspace_id in workspaces:
                await unit.execute("UPDATE event_logs SET floor = 0 WHERE workspace_id = $1", workspace_id)
                if workspace_id == workspaces[0]:
                    await barrier.wait()

    ended = await asyncio.gather(lock([first, second]), lock([second, first]), return_exceptions=True)
    (refused,) = [one for one in ended if one is not None]
    assert isinstance(refused, Contended)
    assert isinstance(refused, Unavailable), "a request that loses is answered 503, not 500"


async def test_work_runs_again_when_others_got_in_the_way(node: Node) -> None:
    tries: list[int] = []

    async def work(unit: UnitOfWork) -> int:
        tries.append(len(tries))
        if len(tries) < 3:
            raise Contended
        return await unit.fetchval("SELECT 7")  # type: ignore[no-any-return]

    assert await node.database.retrying(work) == 7
    assert len(tries) == 3
