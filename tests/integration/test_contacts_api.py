"""Contacts over HTTP, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from served_app import Json, Node, User, serve

ADA = {"name": "Ada", "first_name": "Ada", "email": "ada@example.org", "phone": "+49 151 12345678", "language": "de"}


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    async with serve(database_url) as node:
        yield node


@pytest.fixture
async def admin(node: Node) -> User:
    return await node.admin()


def code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    found: str = answer.json()["code"]
    return found


def pointers(answer: Any) -> list[str]:
    assert code(answer, 422) == "invalid"
    return [fault["pointer"] for fault in answer.json()["faults"]]


async def names(user: User, query: str = "") -> list[str]:
    answer = await user.get(f"/v1/contacts{query}")
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["items"]]


async def test_is_made_read_and_told_to_everybody(node: Node, admin: User) -> None:
    answer = await admin.post("/v1/contacts", {**ADA, "custom": {"plan": "pro", "seats": 3, "left": None}})
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    made = answer.json()
    assert (made["name"], made["phone"], made["version"]) == ("Ada", "+4915112345678", 1)
    assert made["custom"] == {"plan": "pro", "seats": 3, "left": None}
    read = await admin.get(f"/v1/contacts/{made['id']}")
    assert read.headers["etag"] == '"1"'
    assert read.json() == {"contact": made, "identities": []}
    events = await node.events(UUID((await admin.me())["workspace"]["id"]))
    assert [kind for kind, _ in events if kind.startswith("contact.")] == ["contact.created"]
    assert events[-1][1]["contact"]["id"] == made["id"]


async def test_shows_the_identities(node: Node, admin: User) -> None:
    made = await admin.made("/v1/contacts", ADA)
    async with node.database.session() as connection:
        await connection.execute(
            """
            WITH i AS (INSERT INTO identities (workspace_id, id, contact_id, provider, username)
                       SELECT workspace_id, $2, id, 'telegram', 'ada' FROM contacts WHERE id = $1
                       RETURNING workspace_id, id)
            INSERT INTO addresses (workspace_id, kind, scope, value, identity_id)
            SELECT workspace_id, 'telegram_user', '', '42', id FROM i
            """,
            UUID(made["id"]),
            identity_id := uuid4(),
        )
    [identity] = (await admin.get(f"/v1/contacts/{made['id']}")).json()["identities"]
    assert identity == {
        "id": str(identity_id),
        "provider": "telegram",
        "name": None,
        "username": "ada",
        "unreachable": None,
        "unreachable_at": None,
        "marketing_stopped_at": None,
        "marketing_stopped_reason": None,
        "addresses": [{"kind": "telegram_user", "scope": "", "value": "42", "retired_at": None}],
    }


async def test_has_a_time_zone(admin: User) -> None:
    made = await admin.made("/v1/contacts", {"name": "Ada", "time_zone": "America/New_York"})
    assert made["time_zone"] == "America/New_York"
    path = f"/v1/contacts/{made['id']}"
    assert pointers(await admin.patch(path, {"time_zone": "Mars/Olympus"})) == ["/body/time_zone"]
    assert (await admin.patch(path, {"time_zone": "Asia/Tokyo"})).json()["time_zone"] == "Asia/Tokyo"
    assert (await admin.patch(path, {"time_zone": None})).json()["time_zone"] is None


async def test_a_merged_one_leads_to_what_it_became(node: Node, admin: User) -> None:
    old, new = await admin.made("/v1/contacts", {"name": "Old"}), await admin.made("/v1/contacts", {"name": "New"})
    await node.fetchval(
        "UPDATE contacts SET merged_into = $2 WHERE id = $1 RETURNING 1", UUID(old["id"]), UUID(new["id"])
    )
    assert (await admin.get(f"/v1/contacts/{old['id']}")).json()["contact"]["id"] == new["id"]
    assert await names(admin) == ["New"]


async def test_are_searched_and_paged_newest_first(admin: User) -> None:
    for n in range(5):
        await admin.made("/v1/contacts", {"name": f"Person {n}", "email": f"p{n}@example.org"})
    await admin.made("/v1/contacts", {"name": "100% sure_thing"})
    first = (await admin.get("/v1/contacts?search=person&limit=3")).json()
    rest = (await admin.get(f"/v1/contacts?search=person&limit=3&after={first['next']}")).json()
    assert [one["name"] for one in first["items"] + rest["items"]] == [f"Person {n}" for n in (4, 3, 2, 1, 0)]
    assert rest["next"] is None
    assert await names(admin, "?search=P3%40EXAMPLE") == ["Person 3"]
    assert await names(admin, "?search=%25") == ["100% sure_thing"]
    assert await names(admin, "?search=e_t") == ["100% sure_thing"]
    assert await names(admin, "?search=nobody") == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?limit=0", "/query/limit"),
        ("?limit=201", "/query/limit"),
        ("?after=nonsense", "/query/after"),
        ("?after=WyJhIl0", "/query/after"),
        ("?search=", "/query/search"),
        ("?search=%00", "/query/search"),
        ("?colour=red", "/query/colour"),
    ],
)
async def test_lists_refuse(admin: User, query: str, expected: str) -> None:
    assert pointers(await admin.get(f"/v1/contacts{query}")) == [expected]


async def test_a_change_keeps_what_it_leaves_out_and_empties_what_is_null(node: Node, admin: User) -> None:
    made = await admin.made("/v1/contacts", {**ADA, "custom": {"plan": "pro"}})
    path = f"/v1/contacts/{made['id']}"
    answer = await admin.patch(path, {"name": "Countess", "phone": None, "custom": None})
    assert answer.headers["etag"] == '"2"'
    changed = answer.json()
    assert changed == {
        **made,
        "name": "Countess",
        "phone": None,
        "custom": {},
        "version": 2,
        "updated_at": changed["updated_at"],
    }
    same = await admin.patch(path, {"name": "Countess"})
    assert (same.headers["etag"], same.json()) == ('"2"', changed)
    events = await node.events(UUID((await admin.me())["workspace"]["id"]))
    assert [kind for kind, _ in events].count("contact.updated") == 1


@pytest.mark.parametrize(
    ("custom", "expected"),
    [
        pytest.param({f"k{n}": n for n in range(201)}, "/body/custom", id="too many"),
        pytest.param({"plan": "pro", "note": "x" * 4001}, "/body/custom/note", id="a long text"),
        pytest.param({"k" * 101: 1}, f"/body/custom/{'k' * 80}", id="a long key"),
        pytest.param({f"k{n}": "é" * 4000 for n in range(8)}, "/body/custom", id="too large as a whole"),
    ],
)
async def test_fields_of_ones_own_are_bounded(admin: User, custom: dict[str, object], expected: str) -> None:
    made = await admin.made("/v1/contacts", {"custom": {f"k{n}": "x" * 250 for n in range(200)}})
    path = f"/v1/contacts/{made['id']}"
    assert pointers(await admin.post("/v1/contacts", {"custom": custom})) == [expected]
    assert pointers(await admin.patch(path, {"custom": custom})) == [expected]
    assert (await admin.patch(path, {"custom": {"note": "x" * 4000}})).json()["custom"] == {"note": "x" * 4000}


async def test_a_change_of_an_old_version_is_refused(admin: User) -> None:
    path = f"/v1/contacts/{(await admin.made('/v1/contacts', ADA))['id']}"
    assert (await admin.patch(path, {"name": "One"}, {"If-Match": '"1"'})).status_code == 200
    answer = await admin.patch(path, {"name": "Two"}, {"If-Match": '"1"'})
    assert code(answer, 412) == "version_changed"
    assert answer.json()["version"] == 2
    assert (await admin.patch(path, {"name": "Two"}, {"If-Match": "*"})).headers["etag"] == '"3"'
    assert pointers(await admin.patch(path, {"name": "x"}, {"If-Match": "3"})) == ["/header/If-Match"]
    assert (await admin.get(path)).json()["contact"]["name"] == "Two"


async def test_changes_of_one_version_at_once_have_one_winner(admin: User) -> None:
    path = f"/v1/contacts/{(await admin.made('/v1/contacts', ADA))['id']}"
    answers = await asyncio.gather(*(admin.patch(path, {"name": str(n)}, {"If-Match": '"1"'}) for n in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "x" * 257}, ["/body/name"]),
        ({"email": "no e-mail"}, ["/body/email"]),
        ({"phone": "0151 123"}, ["/body/phone"]),
        ({"phone": "+491"}, ["/body/phone"]),
        ({"custom": {"a": [1]}}, ["/body/custom/a"] * 4),
        ({"name": "a\u0000"}, ["/body/name"]),
        ({"version": 7}, ["/body/version"]),
        ({"name": 1, "email": "no"}, ["/body/name", "/body/email"]),
    ],
)
async def test_refuses(admin: User, body: Json, expected: list[str]) -> None:
    made = await admin.made("/v1/contacts", ADA)
    assert pointers(await admin.post("/v1/contacts", body)) == expected
    assert pointers(await admin.patch(f"/v1/contacts/{made['id']}", body)) == expected
    assert (await admin.get("/v1/contacts")).json()["items"] == [made]


async def test_permissions(admin: User) -> None:
    path = f"/v1/contacts/{(await admin.made('/v1/contacts', ADA))['id']}"
    reader, writer = await admin.with_scopes("contacts.read"), await admin.with_scopes("contacts.write")
    for answer in (
        await reader.post("/v1/contacts", ADA),
        await reader.patch(path, {"name": "x"}),
        await writer.get(path),
        await writer.get("/v1/contacts"),
    ):
        assert code(answer, 403) == "forbidden"
    assert (await reader.get(path)).status_code == (await writer.patch(path, {"name": "x"})).status_code == 200


async def test_of_other_workspaces_do_not_exist(node: Node, admin: User) -> None:
    stranger = await node.admin("Beta", "eve@example.com")
    made = await admin.made("/v1/contacts", ADA)
    path = f"/v1/contacts/{made['id']}"
    assert await names(stranger) == await names(stranger, "?search=Ada") == []
    assert code(await stranger.get(path), 404) == "contact_not_found"
    assert code(await stranger.patch(path, {"name": "mine"}), 404) == "contact_not_found"
    assert code(await admin.get(f"/v1/contacts/{uuid4()}"), 404) == "contact_not_found"
    assert pointers(await admin.get("/v1/contacts/1")) == ["/path/contact_id"]
    assert (await admin.get(path)).json()["contact"] == made
