"""Tags of contacts, and what is told about them from elsewhere, over HTTP on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from served_app import Node, User, serve


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    async with serve(database_url) as node:
        yield node


@pytest.fixture
async def admin(node: Node) -> User:
    return await node.admin()


async def tag(user: User, contact_id: str, **given: list[str]) -> Any:
    return await user.patch(f"/v1/contacts/{contact_id}/tags", given)


async def kinds(node: Node, user: User) -> list[str]:
    workspace_id = UUID((await user.me())["workspace"]["id"])
    return [kind for kind, _ in await node.events(workspace_id) if kind.startswith("contact.")]


async def test_tags_are_put_and_taken_away_and_repeating_it_says_nothing(node: Node, admin: User) -> None:
    made = await admin.made("/v1/contacts", {"name": "Ada"})
    assert made["tags"] == []
    first = await tag(admin, made["id"], add=["vip", " vip ", "Berlin"])
    assert (first.status_code, first.json()["tags"], first.headers["etag"]) == (200, ["vip", "Berlin"], '"2"')
    assert (await tag(admin, made["id"], add=["vip"], remove=["never there"])).json()["version"] == 2
    last = await tag(admin, made["id"], add=["new"], remove=["vip"])
    assert (last.json()["tags"], last.json()["version"]) == (["Berlin", "new"], 3)
    assert await kinds(node, admin) == ["contact.created", "contact.updated", "contact.updated"]


async def test_tags_put_by_many_at_once_are_all_there(admin: User) -> None:
    made = await admin.made("/v1/contacts", {"name": "Ada"})
    await asyncio.gather(*(tag(admin, made["id"], add=[f"tag {n}"]) for n in range(12)))
    answer = await admin.get(f"/v1/contacts/{made['id']}")
    assert sorted(answer.json()["contact"]["tags"]) == sorted(f"tag {n}" for n in range(12))


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        pytest.param({"add": [""]}, "/body/add/0", id="an empty tag"),
        pytest.param({"add": ["x" * 65]}, "/body/add/0", id="a long tag"),
        pytest.param({"add": ["x"], "remove": ["x"]}, "/body", id="put and taken away"),
        pytest.param({"add": [f"{n}" for n in range(101)]}, "/body/add", id="many tags"),
    ],
)
async def test_what_is_no_tag_is_refused(admin: User, given: dict[str, list[str]], pointer: str) -> None:
    made = await admin.made("/v1/contacts", {"name": "Ada"})
    answer = await tag(admin, made["id"], **given)
    assert answer.status_code == 422, answer.text
    assert answer.json()["faults"][0]["pointer"] == pointer


async def test_a_contact_has_a_hundred_tags_at_most(admin: User) -> None:
    made = await admin.made("/v1/contacts", {"name": "Ada"})
    assert (await tag(admin, made["id"], add=[f"{n}" for n in range(100)])).status_code == 200
    assert (await tag(admin, made["id"], add=["one more"])).status_code == 422
    assert (await tag(admin, made["id"], add=["another"], remove=["0"])).status_code == 200


async def test_what_a_contact_did_elsewhere_stands_in_the_log(node: Node, admin: User) -> None:
    made = await admin.made("/v1/contacts", {"name": "Ada"})
    answer = await admin.post(f"/v1/contacts/{made['id']}/events", {"name": "order.placed", "data": {"total": 12.5}})
    assert answer.status_code == 202, answer.text
    events = await node.events(UUID((await admin.me())["workspace"]["id"]))
    kind, data = events[-1]
    assert (kind, data["happened"]) == ("contact.event", answer.json())
    assert (answer.json()["name"], answer.json()["data"]) == ("order.placed", {"total": 12.5})
    for wrong in ({"name": "Order Placed"}, {"name": ""}, {"name": "x", "data": {"a": []}}, {"name": "x", "more": 1}):
        assert (await admin.post(f"/v1/contacts/{made['id']}/events", wrong)).status_code == 422
    assert (await admin.post(f"/v1/contacts/{uuid4()}/events", {"name": "x"})).status_code == 404
