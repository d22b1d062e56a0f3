"""A13: a channel that the core has never heard of, from its webhook through the API and back to its provider.

The whole application runs in process on a real PostgreSQL; the provider is a small server on 127.0.0.1. Nothing of the
product is changed for it: the channel is handed to ``Runtime``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from time import time
from typing import Any, TypeVar

import httpx2
import orjson
import pytest
from example_channel.provider import HEADER, sign
from example_channel.registry import ADAPTERS, PROVIDERS
from example_channel.server import TOKEN, PigeonServer, pigeon_server

from channels.simulator.samples import sample
from inbox.app import create_app
from inbox.kernel.settings import Settings
from inbox.runtime import Runtime

SECRET = "the-signing-secret-of-a-pigeon"
PASSWORD = "correct horse battery"
Json = dict[str, Any]
T = TypeVar("T")


@dataclass
class Installation:
    client: httpx2.AsyncClient
    pigeon: PigeonServer
    path: str

    async def deliver(self, *events: Json, secret: str = SECRET) -> int:
        body = orjson.dumps({"loft": "loft-1", "events": list(events)})
        answer = await self.client.post(self.path, content=body, headers={HEADER: sign(body, secret)})
        return answer.status_code

    async def get(self, path: str) -> Json:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def conversation(self) -> str:
        found = await eventually(lambda: self.get("/v1/conversations"), lambda told: len(told["items"]) == 1)
        return str(found["items"][0]["id"])

    async def messages(self, conversation_id: str, ready: Callable[[list[Json]], bool]) -> list[Json]:
        path = f"/v1/conversations/{conversation_id}/messages"
        found = await eventually(lambda: self.get(path), lambda told: ready(told["items"]))
        items: list[Json] = found["items"]
        return items

    async def say(self, conversation_id: str, *parts: Json, **more: object) -> httpx2.Response:
        body = {"parts": list(parts), **more}
        return await self.client.post(f"/v1/conversations/{conversation_id}/messages", json=body)


async def eventually(look: Callable[[], Awaitable[T]], ready: Callable[[T], bool], seconds: float = 15.0) -> T:
    async with asyncio.timeout(seconds):
        while not ready(found := await look()):
            await asyncio.sleep(0.02)
    return found


def said(external_id: str, kind: str = "message", **message: object) -> Json:
    at = int(time() * 1000)
    return {"type": kind, "at": at, "person": {"id": "U1", "name": "Ann"}, "message": {"id": external_id, **message}}


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    settings = Settings(data_folder=tmp_path, allow_private_networks=(ip_network("127.0.0.0/8"),))
    runtime = Runtime(settings, database_url, adapters=ADAPTERS, providers=PROVIDERS)
    app = create_app(runtime)
    async with (
        pigeon_server() as pigeon,
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://inbox.test") as client,
    ):
        await runtime.workspaces.create_workspace("Loft", "Ada", "ada@example.com", PASSWORD)
        answer = await client.post("/v1/sessions", json={"email": "ada@example.com", "password": PASSWORD})
        client.headers["authorization"] = f"Bearer {answer.json()['token']}"
        fields = {"provider": "pigeon", "name": "pigeon", "signing_secrets": [SECRET]}
        provider_app = await _made(client, "/v1/provider-apps", fields)
        fields = {
            "kind": "pigeon",
            "provider_app_id": provider_app["app"]["id"],
            "account_id": "loft-1",
            "name": "The Loft",
            "token": TOKEN,
            "api_base": pigeon.base_url,
        }
        await _made(client, "/v1/channels", fields)
        yield Installation(client, pigeon, httpx2.URL(provider_app["app"]["webhook_url"]).path)


async def _made(client: httpx2.AsyncClient, path: str, fields: Json) -> Json:
    answer = await client.post(path, json=fields)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def test_a_message_comes_in_and_the_answer_goes_out(house: Installation) -> None:
    assert await house.deliver(said("m1", text="Hello"), said("m1", text="Hello")) == 200
    conversation_id = await house.conversation()
    [hello] = await house.messages(conversation_id, lambda items: len(items) == 1)
    assert (hello["direction"], hello["parts"][0]["text"]) == ("in", "Hello")

    text = "Coo. " * 150
    answer = await house.say(conversation_id, {"type": "text", "text": text}, reply_to_id=hello["id"])
    assert answer.status_code in (201, 202), answer.text
    first, second = await eventually(_returning(lambda: house.pigeon.sent), lambda sent: len(sent) == 2)
    assert f"{first['text']} {second['text']}" == text.strip(), "split at the channel's own limit"
    assert (first["to"], first["quotes"]) == ("U1", "m1")

    receipts = [said(f"p{number}", "read", reference=one["reference"]) for number, one in ((1, first), (2, second))]
    assert await house.deliver(*receipts) == 200
    items = await house.messages(conversation_id, lambda items: items[-1]["status"] == "read")
    assert [item["direction"] for item in items] == ["in", "out"]


async def test_buttons_go_out_and_the_tap_comes_back(house: Installation) -> None:
    await house.deliver(said("m1", text="Hello"))
    conversation_id = await house.conversation()
    offer = {
        "type": "choices",
        "style": "buttons",
        "text": "Deliver today?",
        "sections": [{"choices": [{"title": "Yes", "payload": "yes"}, {"title": "No", "payload": "no"}]}],
    }
    assert (await house.say(conversation_id, offer)).is_success
    [sent] = await eventually(_returning(lambda: house.pigeon.sent), lambda sent: len(sent) == 1)
    assert sent["buttons"] == [{"title": "Yes", "tapped": "yes"}, {"title": "No", "tapped": "no"}]
    await house.messages(conversation_id, lambda items: items[-1]["status"] == "sent")
    await house.deliver(said("m2", tapped="yes", text="Yes", quotes="p1"))
    *_, offered, tap = await house.messages(conversation_id, lambda items: len(items) == 3)
    assert tap["parts"][0]["payload"] == "yes"
    assert tap["reply_to_id"] == offered["id"]

    refused = await house.say(conversation_id, {"type": "location", "latitude": 1, "longitude": 2})
    assert refused.status_code == 422
    assert "Pigeon has no such kind of message." in refused.text


async def test_a_picture_is_fetched_kept_and_sent_back(house: Installation) -> None:
    picture = sample("image")
    house.pigeon.files["f1"] = picture
    await house.deliver(said("m1", file="f1", mime_type="image/png", size=len(picture), text="Look"))
    conversation_id = await house.conversation()
    path = f"/v1/conversations/{conversation_id}/messages"
    stored = await eventually(lambda: house.get(path), lambda told: _media(told)["state"] == "stored")
    assert stored["items"][0]["parts"][0]["caption"] == "Look"
    part = {"type": "media", "kind": "image", "media_id": _media(stored)["id"], "caption": "Nice"}
    assert (answer := await house.say(conversation_id, part)).is_success, answer.text
    [sent] = await eventually(_returning(lambda: house.pigeon.sent), lambda sent: len(sent) == 1)
    assert sent["text"] == "Nice"
    assert house.pigeon.files[sent["file"]] == picture


async def test_a_person_who_blocked_us_is_told_from_a_failure(house: Installation) -> None:
    await house.deliver(said("m1", text="Hello"))
    conversation_id = await house.conversation()
    house.pigeon.refusals["U1"] = (403, "blocked")
    assert (await house.say(conversation_id, {"type": "text", "text": "Hi"})).is_success
    *_, message = await house.messages(conversation_id, lambda items: items[-1]["status"] == "failed")
    assert message["fault"]["code"] == "recipient_blocked_us"


async def test_it_is_a_channel_like_the_others(house: Installation) -> None:
    [channel] = (await house.get("/v1/channels"))["items"]
    assert (channel["kind"], channel["health"]) == ("pigeon", "ok")
    capabilities = await house.get(f"/v1/channels/{channel['id']}/capabilities")
    assert capabilities["text"] == {"maximum": 500, "unit": "characters"}
    assert await house.deliver(said("m9", text="forged"), secret="not-the-secret") == 401
    assert (await house.get("/v1/conversations"))["items"] == []


def _returning(value: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    async def read() -> T:
        return value()

    return read


def _media(told: Json) -> Json:
    media: Json = told["items"][0]["parts"][0]["media"]
    return media
