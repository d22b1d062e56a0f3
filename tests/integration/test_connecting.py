"""Connecting for real: what the provider is told, what is found, and what stays with the channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from builders import make_app, make_channel
from delivery_world import ScriptedAdapter, World, make_world
from served_app import serve

from channels.abilities import Endpoint, Finding
from channels.adapter import AccountFacts, Http
from channels.errors import FetchError
from channels.types import Account, Fault
from inbox.agents.principal import Principal
from inbox.connections.connecting import Connecting, PublicUrlUnset
from inbox.connections.directory import Channel, ChannelUnknown
from inbox.connections.health import ChannelHealth
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import Forbidden
from inbox.kernel.http_errors import TimedOut

WELL = Finding("webhook", "ok", "The provider delivers here.")
DEAD = Fault("token_invalid", "Expired.", "190", reauthorise=True)
BROKEN = Finding("webhook", "broken", "The provider delivers elsewhere.", "Run `inbox channel connect`.")


class Connectable(ScriptedAdapter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.facts: AccountFacts | Exception = AccountFacts("111", "Acme")
        self.found: list[Finding] | Exception = [WELL]
        self.subscribed: list[Endpoint] = []
        self.inspected: list[Endpoint | None] = []
        self.owners: list[str | None] = []

    async def check(self, http: Http, account: Account) -> AccountFacts:
        if isinstance(self.facts, Exception):
            raise self.facts
        return self.facts

    async def subscribe(self, http: Http, account: Account, endpoint: Endpoint) -> list[Finding]:
        self.subscribed.append(endpoint)
        self.owners.append(account.options.get("waba_id"))
        return self._findings()

    async def inspect(self, http: Http, account: Account, endpoint: Endpoint | None) -> list[Finding]:
        self.inspected.append(endpoint)
        self.owners.append(account.options.get("waba_id"))
        return self._findings()

    def _findings(self) -> list[Finding]:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url, plays=Connectable) as world:
        yield world


def adapter(world: World) -> Connectable:
    return cast(Connectable, world.adapter)


def connecting(
    world: World, connected: list[UUID] | None = None, *, public_url: str | None = "https://inbox.test/"
) -> Connecting:
    async def tell(unit: UnitOfWork, channel: Channel) -> None:
        if connected is not None:
            connected.append(channel.id)

    node = world.node
    health = ChannelHealth(node.directory, lambda: None)
    return Connecting(node.database, node.directory, cast(Http, None), health, [tell], public_url=public_url)


def admin(world: World) -> Principal:
    return Principal(world.workspace_id, uuid4(), "Admin", "admin", uuid4())


async def test_the_provider_is_told_where_to_deliver_and_a_person_what_to_paste(world: World) -> None:
    connected: list[UUID] = []
    ends = datetime.now(UTC) + timedelta(days=60)
    adapter(world).facts = AccountFacts("111", "Acme", {"waba_id": "900"}, ends)
    out = await connecting(world, connected).connect(admin(world), world.channel.id)
    (endpoint,) = adapter(world).subscribed
    key = await world.node.fetchval("SELECT endpoint_key FROM provider_apps")
    assert endpoint.url == out.webhook_url == f"https://inbox.test/webhooks/meta/{key}"
    assert endpoint.verify_token == out.verify_token == "verify me"
    assert (out.ok, [one.state for one in out.findings], connected) == (True, ["ok"], [world.channel.id])
    assert (out.channel.options, out.channel.token_expires_at) == ({"waba_id": "900"}, ends)
    assert "verify me" not in repr(out)
    assert (await world.node.directory.get(world.workspace_id, world.channel.id)).owner == "900"


async def test_options_that_a_person_gave_are_not_replaced(world: World) -> None:
    channel = await world.add_channel("whatsapp", "222", options={"waba_id": "mine"})
    adapter(world).facts = AccountFacts("222", "Acme", {"waba_id": "theirs", "more": "yes"})
    out = await connecting(world).connect(admin(world), channel.id)
    assert out.channel.options == {"waba_id": "mine", "more": "yes"}


async def test_the_owner_that_a_check_learns_stays_with_the_channel_and_is_used_at_once(world: World) -> None:
    adapter(world).facts = AccountFacts("111", "Acme", {"waba_id": "900", "more": "yes"})
    assert (await connecting(world).check(admin(world), world.channel.id)).ok
    assert adapter(world).owners == ["900"]
    assert (await world.node.directory.get(world.workspace_id, world.channel.id)).account.options == {"waba_id": "900"}
    channel = await world.add_channel("whatsapp", "222")
    adapter(world).facts = AccountFacts("222", "Acme", {"waba_id": "901"})
    assert (await connecting(world).connect(admin(world), channel.id)).channel.options == {"waba_id": "901"}
    assert adapter(world).owners == ["900", "901"]


async def test_nothing_is_asked_without_a_public_address(world: World) -> None:
    with pytest.raises(PublicUrlUnset, match="INBOX_PUBLIC_URL"):
        await connecting(world, public_url=None).connect(admin(world), world.channel.id)
    assert adapter(world).subscribed == []
    assert (await connecting(world, public_url=None).check(admin(world), world.channel.id)).ok
    assert adapter(world).inspected == [None]


@pytest.mark.parametrize(
    ("facts", "found", "code", "health"),
    [
        (
            FetchError(Fault("token_invalid", "Expired.", "190", reauthorise=True)),
            [WELL],
            "token_invalid",
            "reauthorise",
        ),
        (TimedOut("https://api.test", "no answer"), [WELL], "provider_unreachable", "ok"),
        (AccountFacts("999", "Others"), [WELL], "other_account", "reauthorise"),
        (AccountFacts("111", "Acme"), FetchError(Fault("forbidden", "Not allowed.", "200")), "forbidden", "ok"),
    ],
)
async def test_a_fault_is_an_answer_and_nobody_is_told_of_a_connection(
    world: World, facts: Any, found: Any, code: str, health: str
) -> None:
    connected: list[UUID] = []
    adapter(world).facts, adapter(world).found = facts, found
    out = await connecting(world, connected).connect(admin(world), world.channel.id)
    assert (out.ok, out.fault.code if out.fault else None, connected) == (False, code, [])
    assert out.channel.health == health


async def test_what_is_broken_is_the_health_of_the_channel_until_it_is_mended(world: World) -> None:
    adapter(world).found = [WELL, BROKEN]
    out = await connecting(world).connect(admin(world), world.channel.id)
    assert (out.ok, out.channel.health) == (False, "degraded")
    assert out.channel.health_reason == "The provider delivers elsewhere. Run `inbox channel connect`."
    adapter(world).found = FetchError(Fault("unavailable", "Later."))
    found = await connecting(world).check(admin(world), world.channel.id)
    assert [one.code for one in found.findings] == ["not_inspected"]
    assert await world.node.fetchval("SELECT health FROM channels") == "degraded", "not looked at is not mended"
    adapter(world).found = [WELL]
    await connecting(world).check(admin(world), world.channel.id)
    assert await world.node.fetchval("SELECT health FROM channels") == "ok"


async def test_the_endpoint_of_a_shared_app_is_not_shown(world: World) -> None:
    app_id = await make_app(world.node, None, "meta")
    channel = await make_channel(world.node, world.workspace_id, app_id, "whatsapp", "333")
    adapter(world).facts = AccountFacts("333", "Acme")
    out = await connecting(world).connect(admin(world), channel.id)
    assert (out.ok, out.webhook_url, out.verify_token) == (True, None, None)
    assert len(adapter(world).subscribed) == 1


async def test_only_who_may_write_channels_connects_and_only_theirs(world: World) -> None:
    with pytest.raises(Forbidden):
        await connecting(world).connect(world.caller, world.channel.id)
    stranger = replace(admin(world), workspace_id=uuid4())
    with pytest.raises(ChannelUnknown):
        await connecting(world).connect(stranger, world.channel.id)


async def test_over_http_it_says_what_to_set(database_url: str) -> None:
    async with serve(database_url) as node:
        user = await node.admin()
        app = await user.made("/v1/provider-apps", {"provider": "telegram", "name": "Bot", "account_id": "4711"})
        fields = {"kind": "telegram", "provider_app_id": app["app"]["id"], "name": "Bot", "token": "4711:secret"}
        channel = await user.made("/v1/channels", fields)
        refused = await user.post(f"/v1/channels/{channel['id']}/connect")
        assert (refused.status_code, refused.json()["code"]) == (409, "public_url_unset")
        assert "INBOX_PUBLIC_URL" in refused.json()["detail"]
