"""Events that are no messages are kept and listed, page by page, to whoever looks after the channels."""

from __future__ import annotations

import orjson
import pytest
from builders import make_app, make_channel, make_workspace, start_node
from test_receiving import Line

from inbox.agents.principal import Principal
from inbox.kernel.errors import Forbidden
from inbox.kernel.ids import new_id
from inbox.kernel.pages import ListQuery
from inbox.messages.notices import NoticeRoutes


async def test_unknown_events_are_listed_newest_first(database_url: str) -> None:
    node = await start_node(database_url)
    workspace_id = await make_workspace(node)
    app_id = await make_app(node, workspace_id, "meta")
    channel = await make_channel(node, workspace_id, app_id, "messenger", "222")
    line = Line(node, workspace_id, app_id, channel)
    for number in range(3):
        item = {"sender": {"id": "psid"}, "recipient": {"id": "222"}, "timestamp": 1_790_000_000_000}
        entry = {"id": "222", "time": 1, "messaging": [{**item, f"new_thing_{number}": {"number": number}}]}
        await line.feed(orjson.dumps({"object": "page", "entry": [entry]}))

    routes = NoticeRoutes(node.database)
    admin = Principal(workspace_id, new_id(), "Admin", "admin", new_id())
    first = await routes.list(admin, ListQuery(limit=2))
    rest = await routes.list(admin, ListQuery(limit=2, after=first.next))
    assert [len(first.items), len(rest.items), rest.next] == [2, 1, None]
    assert {notice.channel_id for notice in [*first.items, *rest.items]} == {channel.id}
    assert "new_thing_2" in str(first.items[0])
    stranger = Principal(await make_workspace(node), new_id(), "Admin", "admin", new_id())
    assert (await routes.list(stranger, ListQuery())).items == []
    with pytest.raises(Forbidden):
        await routes.list(Principal(workspace_id, new_id(), "Agent", "agent", new_id()), ListQuery())
    await node.database.stop()


async def test_what_is_known_to_say_nothing_is_not_listed(database_url: str) -> None:
    """Instagram announces every new message by an empty edit."""
    node = await start_node(database_url)
    workspace_id = await make_workspace(node)
    app_id = await make_app(node, workspace_id, "meta")
    channel = await make_channel(node, workspace_id, app_id, "instagram", "333")
    line = Line(node, workspace_id, app_id, channel)
    for edit in ({"mid": "m_1", "num_edit": 0}, {"mid": "m_2", "num_edit": "0"}, {"mid": "m_3", "num_edit": 1}):
        entry = {"id": "333", "time": 1, "messaging": [{"timestamp": 1_790_000_000_000, "message_edit": edit}]}
        await line.feed(orjson.dumps({"object": "instagram", "entry": [entry]}))
    assert [row[0] for row in await node.fetch("SELECT what FROM unsupported_events")] == ["message_edit"]
    await node.database.stop()
