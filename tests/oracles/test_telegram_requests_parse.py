"""aiogram reads each request of our adapter as the method it names, and the simulator's answers as its result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiogram.methods
import aiohttp
import pytest
from aiogram.methods import Response
from recording_http import Exchange, RecordingHttp
from strictness import unknown_fields
from telegram_stage import BOT, TOKEN, Stage, open_stage

from channels.abilities import Endpoint
from channels.adapter import OutboundFile
from channels.content import ContactCard, Entity, MediaKind
from channels.outbound import (
    Choice,
    ChoiceSection,
    Envelope,
    OutboundAlbum,
    OutboundChoices,
    OutboundContacts,
    OutboundLocation,
    OutboundMedia,
    OutboundPart,
    OutboundReaction,
    OutboundText,
)
from channels.simulator.samples import MEDIA_TYPES, sample
from channels.telegram.adapter import TelegramAdapter
from channels.types import Account, Address

ADAPTER = TelegramAdapter()
ANN = (Address("telegram_user", "", "42"),)
METHODS: dict[str, Any] = {
    method.__api_method__: method
    for method in (getattr(aiogram.methods, name) for name in aiogram.methods.__all__)
    if hasattr(method, "__returning__")
}
ENTITIES = (
    Entity("bold", 0, 2), Entity("italic", 3, 2), Entity("strikethrough", 6, 2), Entity("code", 9, 2),
    Entity("link", 12, 2, "https://example.org"),
)  # fmt: skip
CHOICES = (ChoiceSection((Choice("Yes", "y"), Choice("No", description="Not now")), "Well"),)
LINKED = (ChoiceSection((Choice("Yes", "y"), Choice("Open", url="https://example.org"))),)
KINDS: tuple[MediaKind, ...] = (
    "image", "video", "audio", "voice", "document", "animation", "sticker", "video_note",
)  # fmt: skip


def stored(kind: MediaKind, caption: str | None = None) -> OutboundMedia:
    mime_type = MEDIA_TYPES[kind][0].partition(";")[0]
    return OutboundMedia(kind, media_id=kind, mime_type=mime_type, caption=caption)


def linked(kind: MediaKind, caption: str | None = None) -> OutboundMedia:
    return OutboundMedia(kind, url=f"https://example.org/file.{MEDIA_TYPES[kind][1]}", caption=caption)


PARTS: dict[str, OutboundPart] = {
    "text": OutboundText("Hello"),
    "text with entities": OutboundText("ab cd ef gh 🙂", ENTITIES[:4], preview_links=False),
    "text with a link": OutboundText("ab cd ef gh ij", ENTITIES),
    "a long text": OutboundText("word " * 2000),
    **{f"stored {kind}": stored(kind) for kind in KINDS},
    **{f"linked {kind}": linked(kind) for kind in KINDS if kind != "video_note"},
    "a caption": stored("image", "Look"),
    "an album": OutboundAlbum((linked("image", "one"), linked("video")), "All"),
    "a stored album": OutboundAlbum((stored("image"), stored("video")), "All"),
    "a mixed album": OutboundAlbum((stored("document"), linked("document"))),
    "location": OutboundLocation(52.5, 13.4),
    "venue": OutboundLocation(52.5, 13.4, "Cafe", "Weg 1"),
    "contact": OutboundContacts((ContactCard("Bo Berg", phones=("+46700000001",), vcard="BEGIN:VCARD"),)),
    "buttons": OutboundChoices("buttons", "Shall we?", LINKED, header="Now", footer="or later"),
    "quick replies": OutboundChoices("quick_replies", "Shall we?", CHOICES),
    "list": OutboundChoices("list", "Shall we?", CHOICES, label="Choose"),
}


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(fetch_links=False) as stage:
        yield stage


@pytest.fixture
async def http() -> AsyncIterator[RecordingHttp]:
    async with aiohttp.ClientSession() as session:
        yield RecordingHttp(session)


def account(stage: Stage) -> Account:
    return Account("telegram", BOT, TOKEN, api_base=stage.server.telegram_url)


def judge(exchange: Exchange) -> None:
    method = METHODS[exchange.method]
    assert not list(unknown_fields(method.model_validate(exchange.params), exchange.method))
    answer = Response[method.__returning__].model_validate(exchange.answer)
    assert answer.ok, exchange.answer
    assert not list(unknown_fields(answer.result, "result"))


@pytest.mark.parametrize("name", PARTS)
async def test_sends(stage: Stage, http: RecordingHttp, name: str) -> None:
    said = await stage.say(text="hi")
    for piece in ADAPTER.plan([PARTS[name]]):
        files = [_file(media_id) for media_id in piece.media_ids]
        envelope = Envelope(piece, ANN, "c1", reply_to=f"42:{said['id']}")
        accepted = await ADAPTER.send(http, account(stage), envelope, files)
        assert accepted.external_ids
        judge(http.exchanges[-1])


def _file(kind: str) -> OutboundFile:
    mime_type, extension = MEDIA_TYPES[kind]
    return OutboundFile(f"file.{extension}", mime_type.partition(";")[0], sample(kind))


async def test_reactions_and_everything_that_is_no_message(stage: Stage, http: RecordingHttp) -> None:
    said = await stage.say(text="hi")
    me, theirs = account(stage), f"42:{said['id']}"
    for emoji in ("❤️", None):
        (piece,) = ADAPTER.plan([OutboundReaction(theirs, emoji)])
        await ADAPTER.send(http, me, Envelope(piece, ANN, "c2"), [])
    (piece,) = ADAPTER.plan([OutboundText("Hello")])
    (mine,) = (await ADAPTER.send(http, me, Envelope(piece, ANN, "c3"), [])).external_ids
    await ADAPTER.edit(http, me, ANN, mine, [OutboundText("ab cd", ENTITIES[:2])])
    await ADAPTER.edit(http, me, ANN, mine, [OutboundChoices("buttons", "Shall we?", LINKED)])
    await ADAPTER.typing(http, me, ANN, None)
    await ADAPTER.delete(http, me, ANN, mine)
    stage.hook.updates.clear()
    await stage.say("callback", payload="x")
    query = await stage.told("callback_query")
    await ADAPTER.acknowledge(http, me, query["id"])
    await ADAPTER.profile(http, me, ANN)
    await ADAPTER.check(http, me)
    await ADAPTER.subscribe(http, me, Endpoint(stage.hook.url, secret="s3cret"))
    await ADAPTER.inspect(http, me, Endpoint(stage.hook.url, secret="s3cret"))
    assert {exchange.method for exchange in http.exchanges} == {
        "setMessageReaction", "sendMessage", "editMessageText", "sendChatAction", "deleteMessage",
        "answerCallbackQuery", "getChat", "getMe", "setWebhook", "getWebhookInfo",
    }  # fmt: skip
    for exchange in http.exchanges:
        judge(exchange)


async def test_a_business_accounts_chat(stage: Stage, http: RecordingHttp) -> None:
    await stage.say("connect", who={"id": "900", "name": "Olga"}, telegram={"business": "c1"})
    said = await stage.say(text="hi", telegram={"business": "c1"})
    me, theirs = account(stage), f"c1:42:{said['id']}"
    (piece,) = ADAPTER.plan([OutboundText("Hello")])
    there = (*ANN, Address("telegram_business", "c1", "42"))
    (mine,) = (await ADAPTER.send(http, me, Envelope(piece, there, "c4", reply_to=theirs), [])).external_ids
    assert mine.startswith("c1:42:")
    await ADAPTER.mark_read(http, me, there, theirs)
    await ADAPTER.typing(http, me, there, theirs)
    await ADAPTER.delete(http, me, there, mine)
    assert [exchange.method for exchange in http.exchanges] == [
        "sendMessage", "readBusinessMessage", "sendChatAction", "deleteBusinessMessages",
    ]  # fmt: skip
    for exchange in http.exchanges:
        judge(exchange)
