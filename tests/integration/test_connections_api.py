"""Connecting provider apps and channels, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from served_app import Json, Node, User, serve

from channels.registry import ADAPTERS
from channels.telegram.provider import TelegramProvider
from inbox.connections.directory import ChannelUnknown
from inbox.connections.health import Report
from inbox.kernel.http_errors import ConnectFailed

META = {"provider": "meta", "name": "Our app", "signing_secrets": ["s3cret-of-the-app"]}
TELEGRAM = {"provider": "telegram", "name": "Our bot", "account_id": "4711"}
TOKEN = "4711:a-token-of-the-tests"


@pytest.fixture
async def node(database_url: str) -> AsyncIterator[Node]:
    async with serve(database_url) as node:
        yield node


@pytest.fixture
async def admin(node: Node) -> User:
    return await node.admin()


@pytest.fixture
async def stranger(node: Node) -> User:
    """The admin of another workspace."""
    return await node.admin("Beta", "eve@example.com")


def code(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    found: str = answer.json()["code"]
    return found


def faults(answer: Any) -> list[tuple[str, str]]:
    assert code(answer, 422) == "invalid"
    return [(fault["pointer"], fault["code"]) for fault in answer.json()["faults"]]


async def make_app(user: User, **fields: object) -> Json:
    made: Json = (await user.made("/v1/provider-apps", {**META, **fields}))["app"]
    return made


async def make_bot(user: User, account_id: str = "4711") -> Json:
    made: Json = (await user.made("/v1/provider-apps", {**TELEGRAM, "account_id": account_id}))["app"]
    return made


def channel_body(app: Json, **fields: object) -> Json:
    kind = "telegram" if app["provider"] == "telegram" else "whatsapp"
    account = {} if kind == "telegram" else {"account_id": "1555"}
    return {"kind": kind, "provider_app_id": app["id"], "name": "Line", "token": TOKEN, **account, **fields}


async def make_channel(user: User, app: Json | None = None, **fields: object) -> Json:
    return await user.made("/v1/channels", channel_body(app or await make_bot(user), **fields))


async def share(node: Node, app: Json) -> None:
    """Make an app one of the installation."""
    await node.fetchval("UPDATE provider_apps SET workspace_id = NULL WHERE id = $1 RETURNING 1", UUID(app["id"]))


async def events_of(user: User) -> list[tuple[str, Json]]:
    found = await user.node.events(UUID((await user.me())["workspace"]["id"]))
    return [event for event in found if event[0].startswith("channel.")]


async def give_conversation(node: Node, channel_id: str) -> None:
    async with node.database.session() as connection:
        await connection.execute(
            """
            WITH c AS (SELECT workspace_id, id FROM channels WHERE id = $1),
            p AS (INSERT INTO contacts (workspace_id, id) SELECT workspace_id, $2 FROM c RETURNING 1),
            i AS (INSERT INTO identities (workspace_id, id, contact_id, provider)
                  SELECT workspace_id, $2, $2, 'telegram' FROM c RETURNING 1)
            INSERT INTO conversations (workspace_id, id, channel_id, identity_id, contact_id)
            SELECT workspace_id, $2, id, $2, $2 FROM c
            """,
            UUID(channel_id),
            uuid4(),
        )


class TestProviderApps:
    async def test_of_meta_gets_an_endpoint_and_a_verify_token(self, node: Node, admin: User) -> None:
        made = await admin.made("/v1/provider-apps", META)
        app = made["app"]
        assert made["generated_secret"] is None
        base, key = app["webhook_url"].rsplit("/", 1)
        assert base == "https://inbox.test/webhooks/meta"
        assert len(key) == 32
        assert len(app["verify_token"]) == 32
        known = await node.directory.find_app("meta", key)
        assert known is not None
        assert known.secrets.signing == ("s3cret-of-the-app",)
        assert known.secrets.verify_token == app["verify_token"]
        assert (await admin.get(f"/v1/provider-apps/{app['id']}")).json() == app
        assert (await admin.get("/v1/provider-apps")).json() == {"items": [app], "next": None}
        assert await make_app(admin) != app

    async def test_of_telegram_generates_what_set_webhook_wants(self, node: Node, admin: User) -> None:
        made = await admin.made("/v1/provider-apps", TELEGRAM)
        app, secret = made["app"], made["generated_secret"]
        assert app["verify_token"] is None
        known = await node.directory.find_app("telegram", app["webhook_url"].rsplit("/", 1)[1])
        assert known is not None
        assert known.account_id == "4711"
        header = {"x-telegram-bot-api-secret-token": secret}
        assert TelegramProvider().verify(header, b"{}", known.secrets)
        assert secret not in (await admin.get(f"/v1/provider-apps/{app['id']}")).text

    async def test_keeps_a_given_verify_token_and_public_url(self, database_url: str) -> None:
        async with serve(database_url, public_url="https://inbox.example/base/") as node:
            app = await make_app(await node.admin(), verify_token="chosen by hand")
        assert app["verify_token"] == "chosen by hand"
        assert app["webhook_url"].startswith("https://inbox.example/base/webhooks/meta/")

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, [("/body/provider", "missing"), ("/body/name", "missing")]),
            ({**META, "provider": "carrier_pigeon"}, [("/body/provider", "unknown_provider")]),
            ({**META, "provider": "Meta"}, [("/body/provider", "string_pattern_mismatch")]),
            ({**META, "signing_secrets": None}, [("/body/signing_secrets", "missing")]),
            ({**META, "signing_secrets": []}, [("/body/signing_secrets", "too_short")]),
            ({**META, "signing_secrets": ["a"] * 5}, [("/body/signing_secrets", "too_long")]),
            ({**META, "signing_secrets": ["a", "b c"]}, [("/body/signing_secrets/1", "characters")]),
            ({**META, "account_id": "1"}, [("/body/account_id", "unexpected")]),
            ({**TELEGRAM, "account_id": None}, [("/body/account_id", "missing")]),
            ({**TELEGRAM, "signing_secrets": ["no:colon"]}, [("/body/signing_secrets/0", "characters")]),
            ({**TELEGRAM, "verify_token": "x"}, [("/body/verify_token", "unexpected")]),
            ({**META, "extra": 1}, [("/body/extra", "extra_forbidden")]),
        ],
    )
    async def test_refuses(self, admin: User, body: Json, expected: list[tuple[str, str]]) -> None:
        assert faults(await admin.post("/v1/provider-apps", body)) == expected
        assert (await admin.get("/v1/provider-apps")).json()["items"] == []

    async def test_secrets_are_replaced_or_rotated(self, node: Node, admin: User) -> None:
        app = await make_app(admin)
        path, key = f"/v1/provider-apps/{app['id']}", app["webhook_url"].rsplit("/", 1)[1]

        async def signing() -> tuple[str, ...]:
            known = await node.directory.find_app("meta", key)
            assert known is not None
            assert known.secrets.verify_token == app["verify_token"]
            return known.secrets.signing

        assert await signing() == ("s3cret-of-the-app",)
        answer = await admin.patch(path, {"signing_secrets": ["second"], "keep_previous_secrets": True})
        assert answer.json() == app
        assert await signing() == ("second", "s3cret-of-the-app")
        await admin.patch(path, {"signing_secrets": ["third"]})
        assert await signing() == ("third",)
        assert (await admin.patch(path, {"name": "Renamed"})).json()["name"] == "Renamed"
        assert await signing() == ("third",)
        await admin.patch(path, {"signing_secrets": ["4", "5", "6", "7"], "keep_previous_secrets": True})
        assert await signing() == ("4", "5", "6", "7")
        assert faults(await admin.patch(path, {"signing_secrets": ["a b"]})) == [
            ("/body/signing_secrets/0", "characters")
        ]

    async def test_is_deleted_when_nothing_uses_it(self, node: Node, admin: User) -> None:
        app = await make_bot(admin)
        path, key = f"/v1/provider-apps/{app['id']}", app["webhook_url"].rsplit("/", 1)[1]
        channel = await make_channel(admin, app)
        assert code(await admin.delete(path), 409) == "provider_app_in_use"
        await admin.delete(f"/v1/channels/{channel['id']}")
        assert await node.directory.find_app("telegram", key) is not None
        assert (await admin.delete(path)).status_code == 204
        assert await node.directory.find_app("telegram", key) is None
        assert code(await admin.delete(path), 404) == "provider_app_not_found"

    @pytest.mark.parametrize("role", ["supervisor", "agent"])
    async def test_only_admins_change_them_and_see_the_endpoint(self, admin: User, role: str) -> None:
        app = await make_app(admin)
        user, path = await admin.colleague(role, "bob@example.com"), f"/v1/provider-apps/{app['id']}"
        seen = (await user.get(path)).json()
        assert seen == {**app, "webhook_url": None, "verify_token": None}
        for answer in (
            await user.post("/v1/provider-apps", META),
            await user.patch(path, {"name": "x"}),
            await user.delete(path),
        ):
            assert code(answer, 403) == "forbidden"

    async def test_of_other_workspaces_do_not_exist(self, admin: User, stranger: User) -> None:
        app = await make_app(admin)
        path = f"/v1/provider-apps/{app['id']}"
        assert (await stranger.get("/v1/provider-apps")).json()["items"] == []
        for answer in (
            await stranger.get(path),
            await stranger.patch(path, {"name": "mine"}),
            await stranger.delete(path),
        ):
            assert code(answer, 404) == "provider_app_not_found"
        answer = await stranger.post("/v1/channels", channel_body(app))
        assert faults(answer) == [("/body/provider_app_id", "unknown_app")]

    async def test_of_the_installation_are_seen_by_all_and_changed_by_none(
        self, node: Node, admin: User, stranger: User
    ) -> None:
        app = await make_app(admin)
        await share(node, app)
        path = f"/v1/provider-apps/{app['id']}"
        for user in (admin, stranger):
            assert (await user.get(path)).json() == {**app, "shared": True, "webhook_url": None, "verify_token": None}
            assert code(await user.patch(path, {"name": "mine"}), 403) == "provider_app_shared"
            assert code(await user.delete(path), 403) == "provider_app_shared"


class TestChannels:
    async def test_is_connected_listed_and_told_to_everybody(self, node: Node, admin: User) -> None:
        app = await make_app(admin)
        node.changes.clear()
        channel = await make_channel(admin, app, options={"waba_id": "9"})
        assert channel == {
            "id": channel["id"],
            "kind": "whatsapp",
            "provider_app_id": app["id"],
            "account_id": "1555",
            "name": "Line",
            "state": "enabled",
            "health": "ok",
            "health_reason": None,
            "health_reasons": [],
            "sending_paused_until": None,
            "sending_paused_reason": None,
            "token_expires_at": None,
            "options": {"waba_id": "9"},
            "api_base": None,
            "created_at": channel["created_at"],
            "updated_at": None,
        }
        assert node.changes == ["channels"]
        assert (await admin.get(f"/v1/channels/{channel['id']}")).json() == channel
        assert (await admin.get("/v1/channels")).json() == {"items": [channel], "next": None}
        [(kind, payload)] = await events_of(admin)
        assert (kind, set(payload["channel"])) == ("channel.created", set(channel))
        known = await node.directory.find_account(UUID(app["id"]), "1555")
        assert known is not None
        assert known.account.token == TOKEN
        assert known.account.options == {"waba_id": "9"}

    async def test_of_telegram_takes_the_account_of_its_app(self, admin: User) -> None:
        app = await make_bot(admin)
        other = channel_body(app, account_id="4712")
        assert faults(await admin.post("/v1/channels", other)) == [("/body/account_id", "other_account")]
        assert (await make_channel(admin, app))["account_id"] == "4711"

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"kind": "pigeon"}, ("/body/kind", "unknown_kind")),
            ({"kind": "telegram"}, ("/body/provider_app_id", "other_provider")),
            ({"provider_app_id": str(uuid4())}, ("/body/provider_app_id", "unknown_app")),
            ({"account_id": None}, ("/body/account_id", "missing")),
            ({"account_id": "a/../b"}, ("/body/account_id", "string_pattern_mismatch")),
            ({"name": ""}, ("/body/name", "string_too_short")),
            ({"token": ""}, ("/body/token", "too_short")),
            *(({"token": f"{TOKEN}{odd}"}, ("/body/token", "value_error")) for odd in ("\n", "\r", " x", "\0", "é")),
            ({"options": {"a": 1}}, ("/body/options/a", "string_type")),
            ({"options": {"messages_per_second": "fast"}}, ("/body/options", "value_error")),
            ({"options": {"messages_per_second": "1001"}}, ("/body/options", "value_error")),
            ({"options": {"a": "x" * 513}}, ("/body/options/a", "string_too_long")),
            ({"api_base": "http://127.0.0.1:9000"}, ("/body/api_base", "not_allowed")),
            ({"api_base": "http://169.254.169.254"}, ("/body/api_base", "not_allowed")),
            ({"api_base": "file:///etc/passwd"}, ("/body/api_base", "not_allowed")),
            ({"api_base": "https://user:pw@example.com"}, ("/body/api_base", "not_allowed")),
            ({"api_base": "https://example.com/?a=b"}, ("/body/api_base", "not_allowed")),
            ({"state": "disabled"}, ("/body/state", "extra_forbidden")),
        ],
    )
    async def test_refuses(self, admin: User, fields: Json, expected: tuple[str, str]) -> None:
        app = await make_app(admin)
        answer = await admin.post("/v1/channels", channel_body(app, **fields))
        assert faults(answer) == [expected]
        assert TOKEN not in answer.text
        assert await events_of(admin) == []

    async def test_another_host_is_kept_without_its_last_slash(self, admin: User) -> None:
        assert (await make_channel(admin, api_base="https://example.com/api/"))["api_base"] == "https://example.com/api"

    async def test_an_account_is_connected_once_and_nobody_learns_where(self, admin: User, stranger: User) -> None:
        await make_channel(admin, await make_app(admin))
        here = await admin.post("/v1/channels", channel_body(await make_app(admin)))
        there = await stranger.post("/v1/channels", channel_body(await make_app(stranger)))
        assert code(here, 409) == code(there, 409) == "account_already_connected"
        one, other = here.json(), there.json()
        del one["request_id"], other["request_id"]
        assert one == other

    async def test_connecting_at_once_has_one_winner(self, admin: User, stranger: User) -> None:
        bodies = [channel_body(await make_app(user)) for user in (admin, stranger)]
        answers = await asyncio.gather(
            *(user.post("/v1/channels", body) for user, body in zip((admin, stranger) * 3, bodies * 3, strict=True))
        )
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5

    async def test_is_disabled_and_enabled(self, node: Node, admin: User) -> None:
        channel = await make_channel(admin)
        path = f"/v1/channels/{channel['id']}"
        workspace_id = UUID((await admin.me())["workspace"]["id"])
        assert (await node.directory.get(workspace_id, UUID(channel["id"]))).state == "enabled"
        disabled = (await admin.patch(path, {"state": "disabled"})).json()
        assert disabled == {**channel, "state": "disabled", "updated_at": disabled["updated_at"]}
        assert (await node.directory.get(workspace_id, UUID(channel["id"]))).state == "disabled"
        assert (await admin.patch(path, {"state": "disabled"})).json() == disabled
        assert (await admin.patch(path, {"state": "enabled"})).json()["state"] == "enabled"
        assert [kind for kind, _ in await events_of(admin)] == ["channel.created", "channel.updated", "channel.updated"]

    async def test_name_options_and_token_change(self, node: Node, admin: User) -> None:
        app = await make_app(admin)
        channel = await make_channel(admin, app, options={"a": "1"})
        path = f"/v1/channels/{channel['id']}"
        answer = await admin.patch(path, {"name": "Renamed", "options": {"b": "2"}, "token": "another-token"})
        assert (answer.json()["name"], answer.json()["options"]) == ("Renamed", {"b": "2"})
        assert "another-token" not in answer.text
        known = await node.directory.find_account(UUID(app["id"]), "1555")
        assert known is not None
        assert known.account.token == "another-token"
        for odd in ("another-token\r\n", " another-token", "another\ttoken"):
            refused = await admin.patch(path, {"token": odd})
            assert faults(refused) == [("/body/token", "value_error")]
            assert "another" not in refused.text
        assert faults(await admin.patch(path, {"state": "asleep"})) == [("/body/state", "literal_error")]
        assert faults(await admin.patch(path, {"account_id": "2"})) == [("/body/account_id", "extra_forbidden")]
        assert code(await admin.patch(f"/v1/channels/{uuid4()}", {"name": "x"}), 404) == "channel_not_found"

    async def test_with_conversations_is_disabled_not_deleted(self, node: Node, admin: User) -> None:
        used, unused = await make_channel(admin), await make_channel(admin, await make_app(admin))
        await give_conversation(node, used["id"])
        assert code(await admin.delete(f"/v1/channels/{used['id']}"), 409) == "channel_has_conversations"
        assert (await admin.get(f"/v1/channels/{used['id']}")).status_code == 200
        assert (await admin.delete(f"/v1/channels/{unused['id']}")).status_code == 204
        assert code(await admin.get(f"/v1/channels/{unused['id']}"), 404) == "channel_not_found"
        assert code(await admin.delete(f"/v1/channels/{unused['id']}"), 404) == "channel_not_found"
        assert (await events_of(admin))[-1] == ("channel.deleted", {"channel_id": unused["id"]})
        with pytest.raises(ChannelUnknown):
            await node.directory.get(UUID((await admin.me())["workspace"]["id"]), UUID(unused["id"]))

    @pytest.mark.parametrize("role", ["supervisor", "agent"])
    async def test_only_admins_change_them(self, admin: User, role: str) -> None:
        app = await make_bot(admin)
        channel = await make_channel(admin, app)
        user, path = await admin.colleague(role, "bob@example.com"), f"/v1/channels/{channel['id']}"
        assert (await user.get(path)).json() == channel
        for answer in (
            await user.post("/v1/channels", channel_body(app)),
            await user.patch(path, {"state": "disabled"}),
            await user.delete(path),
            await user.post(f"{path}/check"),
        ):
            assert code(answer, 403) == "forbidden"

    async def test_a_scope_limits_reading_too(self, admin: User) -> None:
        channel = await make_channel(admin)
        scoped = await admin.with_scopes("contacts.read")
        for path in (
            "/v1/provider-apps",
            f"/v1/provider-apps/{channel['provider_app_id']}",
            "/v1/channel-kinds",
            "/v1/channels",
            f"/v1/channels/{channel['id']}",
            f"/v1/channels/{channel['id']}/capabilities",
        ):
            assert code(await scoped.get(path), 403) == "forbidden"

    async def test_of_other_workspaces_do_not_exist(self, admin: User, stranger: User) -> None:
        channel = await make_channel(admin)
        path = f"/v1/channels/{channel['id']}"
        assert (await stranger.get("/v1/channels")).json()["items"] == []
        for answer in (
            await stranger.get(path),
            await stranger.patch(path, {"name": "mine"}),
            await stranger.delete(path),
            await stranger.get(f"{path}/capabilities"),
            await stranger.post(f"{path}/check"),
        ):
            assert code(answer, 404) == "channel_not_found"
        assert (await admin.get(path)).json() == channel

    async def test_are_listed_in_pages(self, admin: User) -> None:
        app = await make_app(admin)
        made = [(await make_channel(admin, app, account_id=str(n)))["id"] for n in range(3)]
        first = (await admin.get("/v1/channels?limit=2")).json()
        rest = (await admin.get(f"/v1/channels?limit=2&after={first['next']}")).json()
        assert [one["id"] for one in first["items"] + rest["items"]] == made
        assert rest["next"] is None


class TestSharedApps:
    """Webhooks of all accounts of a shared app come in at one endpoint: the account has to be proven."""

    async def test_an_account_is_connected_by_who_can_prove_it(self, node: Node, admin: User, stranger: User) -> None:
        app = await make_bot(admin)
        await share(node, app)
        node.provider.answer({"ok": True, "result": {"id": 4711, "first_name": "Bot"}})
        assert (await make_channel(stranger, app))["account_id"] == "4711"
        assert len(node.provider.urls) == 1

    async def test_a_token_of_another_account_proves_nothing(self, node: Node, admin: User, stranger: User) -> None:
        app = await make_bot(admin)
        await share(node, app)
        node.provider.answer({"ok": True, "result": {"id": 999, "first_name": "Bot"}})
        answer = await stranger.post("/v1/channels", channel_body(app))
        assert faults(answer) == [("/body/token", "other_account")]

    async def test_nobody_brings_the_host_that_proves_it(self, node: Node, admin: User, stranger: User) -> None:
        app = await make_bot(admin)
        await share(node, app)
        answer = await stranger.post("/v1/channels", channel_body(app, api_base="https://example.com"))
        assert faults(answer) == [("/body/api_base", "shared_app")]
        assert node.provider.urls == []


class TestCapabilities:
    @pytest.mark.parametrize("kind", ["telegram", "whatsapp"])
    async def test_are_data(self, admin: User, kind: str) -> None:
        app = await (make_bot if kind == "telegram" else make_app)(admin)
        channel = await make_channel(admin, app)
        found = (await admin.get(f"/v1/channels/{channel['id']}/capabilities")).json()
        expected = ADAPTERS[kind].capabilities
        assert found["text"] == {"maximum": expected.text.maximum, "unit": expected.text.unit}
        assert found["media"]["image"]["max_bytes"] == expected.media["image"].max_bytes
        assert len(found["rates"]) == len(expected.rates)

    async def test_of_every_kind_are_known_before_connecting(self, admin: User) -> None:
        kinds = (await admin.get("/v1/channel-kinds")).json()
        assert {one["kind"]: one["provider"] for one in kinds} == {
            kind: adapter.provider for kind, adapter in ADAPTERS.items()
        }


class TestCheck:
    async def test_reports_the_account(self, node: Node, admin: User) -> None:
        channel = await make_channel(admin)
        node.provider.answer({"ok": True, "result": {"id": 4711, "first_name": "Bot", "username": "our_bot"}})
        found = (await admin.post(f"/v1/channels/{channel['id']}/check")).json()
        assert [one["code"] for one in found.pop("findings")] == ["not_inspected"]
        assert found == {
            "ok": True,
            "account": {"account_id": "4711", "name": "Bot", "options": {"username": "our_bot"}},
            "fault": None,
        }

    async def test_a_dead_token_shows_on_the_channel_until_a_new_one_comes(self, node: Node, admin: User) -> None:
        path = f"/v1/channels/{(await make_channel(admin))['id']}"
        node.provider.answer({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
        found = (await admin.post(f"{path}/check")).json()
        assert (found["ok"], found["account"], found["fault"]["reauthorise"]) == (False, None, True)
        channel = (await admin.get(path)).json()
        assert (channel["health"], channel["health_reason"]) == ("reauthorise", found["fault"]["reason"])
        assert (await events_of(admin))[-1][1]["channel"]["health"] == "reauthorise"
        renewed = (await admin.patch(path, {"token": "4711:new"})).json()
        assert (renewed["health"], renewed["health_reason"]) == ("ok", None)

    async def test_a_token_that_works_again_makes_the_channel_healthy(self, node: Node, admin: User) -> None:
        path = f"/v1/channels/{(await make_channel(admin))['id']}"
        node.provider.answer({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
        await admin.post(f"{path}/check")
        node.provider.answer({"ok": True, "result": {"id": 4711, "first_name": "Bot"}})
        assert (await admin.post(f"{path}/check")).json()["ok"]
        assert (await admin.get(path)).json()["health"] == "ok"

    async def test_another_account_is_a_fault(self, node: Node, admin: User) -> None:
        path = f"/v1/channels/{(await make_channel(admin))['id']}"
        node.provider.answer({"ok": True, "result": {"id": 999, "first_name": "Bot"}})
        assert (await admin.post(f"{path}/check")).json()["fault"]["code"] == "other_account"

    async def test_a_provider_that_is_away_changes_nothing(self, node: Node, admin: User) -> None:
        path = f"/v1/channels/{(await make_channel(admin))['id']}"
        node.provider.answers.append(ConnectFailed("https://api.telegram.org", "name not found"))
        found = await admin.post(f"{path}/check")
        assert (found.json()["fault"]["code"], found.json()["fault"]["retryable"]) == ("provider_unreachable", True)
        assert TOKEN not in found.text
        assert (await admin.get(path)).json()["health"] == "ok"

    async def test_an_answer_about_a_replaced_token_changes_nothing(
        self, node: Node, admin: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = f"/v1/channels/{(await make_channel(admin))['id']}"
        node.provider.answer({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
        ask = node.provider.request

        async def replaced_meanwhile(*args: Any, **kwargs: Any) -> Any:
            await admin.patch(path, {"token": "4711:new"})
            return await ask(*args, **kwargs)

        monkeypatch.setattr(node.provider, "request", replaced_meanwhile)
        assert (await admin.post(f"{path}/check")).json()["ok"] is False
        assert (await admin.get(path)).json()["health"] == "ok"


async def test_health_is_set_in_the_transaction_of_whoever_found_out(node: Node, admin: User) -> None:
    channel_id = UUID((await make_channel(admin))["id"])
    workspace_id = UUID((await admin.me())["workspace"]["id"])
    changed = []
    for reason in ("Quality is low.", "Quality is low.", "Quality is very low."):
        async with node.database.transaction() as unit:
            report = Report("quality", "degraded", reason)
            changed.append(await node.channels.health.report(unit, workspace_id, channel_id, report))
    async with node.database.transaction() as unit:
        changed.append(await node.channels.health.report(unit, workspace_id, uuid4(), Report("quality", "ok")))
    assert changed == [True, False, True, False]
    assert [payload["channel"]["health_reason"] for _, payload in await events_of(admin)] == [
        None,
        "Quality is low.",
        "Quality is very low.",
    ]


async def test_no_secret_is_stored_readable_answered_or_logged(
    node: Node, admin: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = await make_app(admin, verify_token="v3rify-me")
    channel = await make_channel(admin, app)
    texts = [
        caplog.text,
        str(await events_of(admin)),
        (await admin.get("/v1/provider-apps")).text.replace(app["verify_token"], ""),
        (await admin.get("/v1/channels")).text,
        (await admin.patch(f"/v1/channels/{channel['id']}", {"token": TOKEN, "name": 1})).text,
        (await admin.patch(f"/v1/provider-apps/{app['id']}", {"signing_secrets": ["s3cret-of-the-app x"]})).text,
        repr(await node.directory.find_account(UUID(app["id"]), "1555")),
        repr(await node.directory.find_app("meta", app["webhook_url"].rsplit("/", 1)[1])),
    ]
    for table in ("provider_apps", "channels"):
        # encode(…, 'escape') shows the bytes of a column as the text they would be.
        column = "secrets" if table == "provider_apps" else "token"
        texts.append(await node.fetchval(f"SELECT string_agg(encode({column}, 'escape'), ' ') FROM {table}"))
        texts.append(await node.fetchval(f"SELECT string_agg(t::text, ' ') FROM {table} t"))
    for text in texts:
        for secret in (TOKEN, "s3cret-of-the-app", "v3rify-me"):
            assert secret not in text
