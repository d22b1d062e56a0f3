"""What upkeep deletes, and what it must not, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from builders import Node, start_node

from inbox.kernel.ids import new_id
from inbox.kernel.settings import Settings
from scheduler.retention import Retention


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    node = await start_node(database_url)
    yield node
    await node.database.stop()


async def test_quarantine_is_forgotten_only_long_after_its_release(node: Node) -> None:
    async with node.database.transaction() as unit:
        for reason, created, released in (("open", 400, None), ("released", 400, 29), ("over", 400, 31)):
            await unit.execute(
                """INSERT INTO quarantine (id, raw_id, raw_received_at, reason, created_at, released_at)
                   VALUES ($1, $1, now(), $2, now() - make_interval(days => $3), now() - make_interval(days => $4))""",
                new_id(),
                reason,
                created,
                released,
            )
    await Retention(node.database, Settings()).delete_stale()
    kept = await node.fetch("SELECT reason FROM quarantine ORDER BY reason")
    assert [row[0] for row in kept] == ["open", "released"]
