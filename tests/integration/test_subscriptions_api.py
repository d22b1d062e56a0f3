"""Subscriptions over HTTP: who may, what is refused, what is shown once and never again."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import httpx2
import pytest
from served_app import Json, User, serve
from starlette.applications import Starlette
from starlette.middleware import Middleware
from subscription_world import Receivers, receivers, verify

from inbox.agents.principal import Principal
from inbox.app import EVENTS
from inbox.kernel.clock import SystemClock
from inbox.kernel.http import HttpClient, HttpSettings
from inbox.kernel.http_guard import Network
from inbox.kernel.web import RequestBoundary, build_routes, exception_handlers
from inbox.subscriptions.posting import Answered, Poster
from inbox.subscriptions.routes import SubscriptionRoutes
from inbox.subscriptions.service import Subscriptions
from inbox.subscriptions.vault import Vault

PATH = "/v1/subscriptions"
LOOPBACK = (IPv4Network("127.0.0.0/8"),)
HTTPS = "https://hooks.example.com/in/T0P-SECRET?key=5up3r"


@pytest.fixture
async def hooks() -> AsyncIterator[Receivers]:
    async with receivers() as made:
        yield made


@pytest.fixture(params=[LOOPBACK], ids=["private"])
async def allow(request: pytest.FixtureRequest) -> tuple[Network, ...]:
    allowed: tuple[Network, ...] = request.param
    return allowed


@pytest.fixture
async def admin(database_url: str, allow: tuple[Network, ...]) -> AsyncIterator[User]:
    clock = SystemClock()
    async with serve(database_url) as node, HttpClient(HttpSettings(allow_private=allow), Answered) as http:
        service = Subscriptions(
            node.database,
            node.event_log,
            Vault(node.box),
            Poster(http, clock),
            clock,
            lambda workspace_id: node.changes.append("subscriptions"),
            allow_private=allow,
        )
        routes = build_routes(
            [SubscriptionRoutes(service, EVENTS)], inject={Principal: node.authentication.authenticate}
        )
        app = Starlette(routes=routes, middleware=[Middleware(RequestBoundary)], exception_handlers=exception_handlers)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://inbox.test") as client:
            user = await node.admin()
            yield User(_Both(node, client), user.token)  # type: ignore[arg-type]


class _Both:
    """A node whose client knows both sets of routes."""

    def __init__(self, node: object, client: httpx2.AsyncClient) -> None:
        self._node = node
        self._subscriptions = client
        self.client = self

    def __getattr__(self, name: str) -> object:
        return getattr(self._node, name)

    async def request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        client = self._subscriptions if path.startswith(PATH) else self._node.client  # type: ignore[attr-defined]
        return await client.request(method, path, **more)


async def made(user: User, **fields: object) -> Json:
    return await user.made(PATH, {"name": "CRM", "url": HTTPS, **fields})


async def test_made_read_changed_and_deleted(admin: User) -> None:
    created = await made(admin, kinds=["message.*", "contact.updated"])
    subscription = created["subscription"]
    assert created["secret"].startswith("whsec_")
    assert subscription["url"] == HTTPS
    assert subscription["origin"] == "https://hooks.example.com"
    assert (subscription["state"], subscription["reason"]) == ("enabled", None)
    path = f"{PATH}/{subscription['id']}"

    assert (await admin.get(path)).json() == subscription
    assert (await admin.get(PATH)).json() == {"items": [subscription], "next": None}
    changed = await admin.patch(path, {"name": "ERP", "all_kinds": True, "state": "disabled"})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["kinds"]) == ("ERP", None)
    assert (changed.json()["state"], changed.json()["reason"]) == ("disabled", "paused")
    enabled = await admin.post(f"{path}/enable", {})
    assert (enabled.json()["state"], enabled.json()["reason"]) == ("enabled", None)
    assert (await admin.delete(path)).status_code == 204
    gone = await admin.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "subscription_not_found")

    kinds = [kind for kind, _ in await admin.node.events((await admin.me())["workspace"]["id"])]
    assert [kind for kind in kinds if kind.startswith("subscription.")] == [
        "subscription.created",
        "subscription.updated",
        "subscription.disabled",
        "subscription.updated",
        "subscription.deleted",
    ]


async def test_secrets_and_addresses_are_nowhere_else(admin: User, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        created = await made(admin)
        path = f"{PATH}/{created['subscription']['id']}"
        rotated = (await admin.post(f"{path}/rotate-secret", {})).json()
        later = (await admin.get(path)).text + (await admin.get(PATH)).text
    events = str(await admin.node.events((await admin.me())["workspace"]["id"]))
    rows = str(await admin.node.fetchval("SELECT s::text FROM subscriptions s"))
    assert rotated["secret"] != created["secret"]
    for secret in (created["secret"], rotated["secret"]):
        for place in (later, events, rows, caplog.text):
            assert secret.removeprefix("whsec_") not in place
    for place in (events, rows, caplog.text):
        assert "T0P-SECRET" not in place
        assert "5up3r" not in place


async def test_only_admins(admin: User) -> None:
    subscription = (await made(admin))["subscription"]
    path = f"{PATH}/{subscription['id']}"
    calls = [
        ("GET", PATH, None),
        ("POST", PATH, {"name": "x", "url": HTTPS}),
        ("GET", path, None),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
        ("POST", f"{path}/enable", {}),
        ("POST", f"{path}/rotate-secret", {}),
        ("POST", f"{path}/ping", None),
        ("POST", f"{path}/replay", {"position": 1}),
        ("GET", f"{path}/deliveries", None),
        ("GET", f"{path}/deliveries/{subscription['id']}", None),
    ]
    for role in ("supervisor", "agent"):
        colleague = replace(admin, token=(await admin.colleague(role, f"{role}@example.com")).token)
        for method, where, body in calls:
            answer = await colleague.call(method, where, body)
            assert answer.status_code == 403, (role, method, where)
    reader = replace(admin, token=(await admin.with_scopes("subscriptions.read")).token)
    assert (await reader.get(path)).json() == {**subscription, "url": None}
    assert (await reader.post(f"{path}/ping")).status_code == 403


async def test_another_workspace_finds_nothing(admin: User) -> None:
    subscription = (await made(admin))["subscription"]
    path = f"{PATH}/{subscription['id']}"
    await admin.node.workspace("Other", "eve@example.com")
    stranger = replace(admin, token=(await admin.node.log_in("eve@example.com")).token)
    assert (await stranger.get(PATH)).json()["items"] == []
    for method, where, body in (
        ("GET", path, None),
        ("PATCH", path, {"name": "mine"}),
        ("DELETE", path, None),
        ("POST", f"{path}/ping", None),
        ("POST", f"{path}/rotate-secret", {}),
        ("POST", f"{path}/replay", {"position": 1}),
        ("GET", f"{path}/deliveries", None),
    ):
        assert (await stranger.call(method, where, body)).status_code == 404, (method, where)
    owner = (await admin.me())["agent"]["id"]
    refused = await stranger.post(PATH, {"name": "x", "url": HTTPS, "agent_id": owner})
    assert (refused.status_code, refused.json()["faults"][0]["code"]) == (422, "unknown_agent")


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"url": "ftp://hooks.example.com"}, "/body/url", "address_refused"),
        ({"url": "https://user:pass@hooks.example.com"}, "/body/url", "address_refused"),
        ({"url": "https://10.0.0.8/hook"}, "/body/url", "address_refused"),
        ({"url": "https://[::1]/hook"}, "/body/url", "address_refused"),
        ({"url": "https://169.254.169.254/latest"}, "/body/url", "address_refused"),
        ({"kinds": ["message.created", "message.exploded"]}, "/body/kinds/1", "unknown_kind"),
        ({"kinds": ["nothing.*"]}, "/body/kinds/0", "unknown_kind"),
        ({"agent_id": "018f0000-0000-7000-8000-000000000000"}, "/body/agent_id", "unknown_agent"),
    ],
)
async def test_refused_with_the_reason(admin: User, fields: Json, pointer: str, code: str) -> None:
    answer = await admin.post(PATH, {"name": "x", "url": HTTPS, **fields})
    assert answer.status_code == 422, answer.text
    [fault] = answer.json()["faults"]
    assert (fault["pointer"], fault["code"]) == (pointer, code)
    assert await admin.node.fetchval("SELECT count(*) FROM subscriptions") == 0


@pytest.mark.parametrize("allow", [()], indirect=True, ids=["public only"])
@pytest.mark.parametrize(
    ("url", "code"), [("http://hooks.example.com/x", "https_required"), ("https://127.0.0.1/x", "address_refused")]
)
async def test_where_private_networks_are_closed(admin: User, url: str, code: str) -> None:
    answer = await admin.post(PATH, {"name": "x", "url": url})
    assert (answer.status_code, answer.json()["faults"][0]["code"]) == (422, code)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"position": 0},
        {"position": 2**63},
        {"position": 1, "from": 1, "to": 2},
        {"from": 3, "to": 2},
        {"from": 1},
        {"from": 1, "to": 10**6},
        {"position": 10**6},
    ],
)
async def test_replays_that_make_no_sense(admin: User, body: Json) -> None:
    path = f"{PATH}/{(await made(admin))['subscription']['id']}"
    answer = await admin.post(f"{path}/replay", body)
    assert answer.status_code == 422, answer.text
    assert await admin.node.fetchval("SELECT count(*) FROM subscription_lanes") == 0


async def test_replays_are_bounded_and_need_an_enabled_subscription(admin: User) -> None:
    path = f"{PATH}/{(await made(admin))['subscription']['id']}"
    for _ in range(5):
        answer = await admin.post(f"{path}/replay", {"from": 1, "to": 2})
        assert answer.status_code == 202, answer.text
    refused = await admin.post(f"{path}/replay", {"position": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_replays")
    await admin.patch(path, {"state": "disabled"})
    refused = await admin.post(f"{path}/replay", {"position": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "subscription_disabled")


async def test_enabling_needs_an_owner_who_may_act(admin: User) -> None:
    bot = await admin.made("/v1/agents", {"role": "bot", "name": "Echo"})
    path = f"{PATH}/{(await made(admin, agent_id=bot['id']))['subscription']['id']}"
    await admin.patch(path, {"state": "disabled"})
    await admin.patch(f"/v1/agents/{bot['id']}", {"disabled": True})
    refused = await admin.post(f"{path}/enable", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "owner_disabled")


async def test_ping_and_the_pages_of_the_log(admin: User, hooks: Receivers) -> None:
    receiver = hooks.add()
    created = await made(admin, url=receiver.url)
    path = f"{PATH}/{created['subscription']['id']}"
    pings = [(await admin.post(f"{path}/ping")).json() for _ in range(3)]
    assert [ping["outcome"] for ping in pings] == ["delivered"] * 3
    assert all(verify(created["secret"], one.headers, one.body) for one in receiver.accepted)

    first = (await admin.get(f"{path}/deliveries?limit=2")).json()
    assert [entry["id"] for entry in first["items"]] == [pings[2]["id"], pings[1]["id"]]
    rest = (await admin.get(f"{path}/deliveries?limit=2&after={first['next']}")).json()
    assert ([entry["id"] for entry in rest["items"]], rest["next"]) == ([pings[0]["id"]], None)
    assert (await admin.get(f"{path}/deliveries?outcome=failed")).json()["items"] == []
    detail = (await admin.get(f"{path}/deliveries/{pings[0]['id']}")).json()
    assert detail["attempt"] == pings[0]
    assert detail["request"]["headers"]["webhook-id"] == receiver.accepted[0].id
    unknown = await admin.get(f"{path}/deliveries/{created['subscription']['id']}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "attempt_not_found")
