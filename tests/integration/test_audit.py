"""The audit trail: written with the deed or not at all, read by those who may, and only of their own workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from builders import Node, make_workspace, start_node

from inbox.agents.principal import Principal, Role
from inbox.audit.routes import AuditRoutes
from inbox.audit.schemas import AuditQuery
from inbox.audit.service import Audit, record
from inbox.kernel.errors import Forbidden
from inbox.kernel.ids import new_id


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    node = await start_node(database_url)
    yield node
    await node.database.stop()


def somebody(workspace_id: UUID, role: Role = "supervisor", name: str = "Ada") -> Principal:
    return Principal(workspace_id, uuid4(), name, role, uuid4())


async def actions(node: Node, caller: Principal, **query: object) -> list[str]:
    found = await AuditRoutes(Audit(node.database)).list(caller, AuditQuery.model_validate(query))
    return [entry.action for entry in found.items]


async def test_an_entry_says_who_did_what_to_what(node: Node) -> None:
    workspace_id, subject = await make_workspace(node), new_id()
    ada, bot = somebody(workspace_id), somebody(workspace_id, "bot", "Echo")
    async with node.database.transaction() as unit:
        await record(unit, workspace_id, ada, "contact.blocked", "contact", subject, {"reason": "spam"})
        await record(unit, workspace_id, bot, "conversation.handed_off", "conversation", new_id())
        await record(unit, workspace_id, None, "contact.unblocked", "contact", subject)
    page = await AuditRoutes(Audit(node.database)).list(ada, AuditQuery())
    last, second, first = page.items
    assert (first.actor.kind, first.actor.id, first.actor.name) == ("agent", ada.agent_id, "Ada")
    assert (first.action, first.subject_kind, first.subject_id) == ("contact.blocked", "contact", subject)
    assert first.detail == {"reason": "spam"}
    assert (second.actor.kind, last.actor.kind, last.actor.id) == ("bot", "system", None)
    assert await actions(node, ada, subject_id=str(subject)) == ["contact.unblocked", "contact.blocked"]
    assert await actions(node, ada, subject_kind="conversation") == ["conversation.handed_off"]
    assert await actions(node, ada, actor_id=str(ada.agent_id)) == ["contact.blocked"]


async def test_what_was_rolled_back_was_not_done_by_anybody(node: Node) -> None:
    workspace_id = await make_workspace(node)

    async def fail() -> None:
        async with node.database.transaction() as unit:
            await record(unit, workspace_id, None, "contact.blocked", "contact", new_id())
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await actions(node, somebody(workspace_id)) == []


async def test_pages_follow_one_another_without_gaps(node: Node) -> None:
    workspace_id = await make_workspace(node)
    async with node.database.transaction() as unit:
        for number in range(5):
            await record(unit, workspace_id, None, f"step.{number}", "thing", new_id())
    routes, ada = AuditRoutes(Audit(node.database)), somebody(workspace_id)
    seen: list[str] = []
    after: str | None = None
    for _ in range(3):
        page = await routes.list(ada, AuditQuery(after=after, limit=2))
        seen += [entry.action for entry in page.items]
        after = page.next
    assert (seen, after) == ([f"step.{number}" for number in (4, 3, 2, 1, 0)], None)


async def test_who_may_read_it_and_that_workspaces_are_apart(node: Node) -> None:
    mine, other = await make_workspace(node), await make_workspace(node)
    async with node.database.transaction() as unit:
        await record(unit, mine, None, "contact.blocked", "contact", new_id())
    assert await actions(node, somebody(mine, "admin")) == ["contact.blocked"]
    assert await actions(node, somebody(other, "admin")) == []
    roles: tuple[Role, ...] = ("agent", "bot")
    for role in roles:
        with pytest.raises(Forbidden):
            await actions(node, somebody(mine, role))
