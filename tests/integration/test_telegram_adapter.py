"""Our adapter through the guarded client against the simulator, which was written from the same facts by other means.

What tables cannot show: that an album is a body a server can read, that what was sent can be edited by its id, and that
a bot that is subscribed hears what the parser understands.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_network

import orjson
import pytest
from telegram_stage import ANN, BOT, SUPERGROUP, TOKEN, Json, Stage, open_stage

from channels.abilities import Endpoint, Finding
from channels.adapter import Http, HttpAnswer, OutboundFile, WebhookSecrets
from channels.content import TextPart
from channels.errors import SendError
from channels.inbound import MessageReceived
from channels.outbound import (
    Choice,
    ChoiceSection,
    Envelope,
    OutboundAlbum,
    OutboundChoices,
    OutboundMedia,
    OutboundPart,
    OutboundText,
)
from channels.simulator.samples import sample
from channels.telegram.adapter import TelegramAdapter
from channels.telegram.parse import UPDATES
from channels.telegram.provider import SECRET_HEADER, TelegramProvider
from channels.types import Account, Address
from inbox.kernel.http import HttpClient, HttpSettings

PNG = sample("image")
ADAPTER = TelegramAdapter()
PEER = (Address("telegram_user", "", ANN["id"]),)


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        await stage.say(text="hi")
        await stage.say(text="hi", group=SUPERGROUP)
        await stage.control.flush()
        yield stage


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[Http]:
    async with HttpClient(HttpSettings(allow_private=(ip_network("127.0.0.0/8"),)), HttpAnswer) as client:
        yield client


def account(stage: Stage) -> Account:
    return Account("telegram", BOT, TOKEN, api_base=stage.server.telegram_url)


async def send(stage: Stage, http: Http, part: OutboundPart, *files: OutboundFile) -> tuple[str, ...]:
    found: list[str] = []
    for piece in ADAPTER.plan([part]):
        accepted = await ADAPTER.send(http, account(stage), Envelope(piece, PEER, "d-1"), files)
        found += accepted.external_ids
    return tuple(found)


async def shown(stage: Stage, external_id: str) -> Json:
    """What the person sees of a message of ours."""
    number = external_id.rpartition(":")[2]
    [found] = [one for one in await stage.control.inbox(BOT, ANN["id"]) if one["id"] == number]
    return found


async def test_an_album_of_stored_files_arrives(stage: Stage, http: Http) -> None:
    file = OutboundFile("p.png", "image/png", PNG)
    again = OutboundMedia("image", media_id="m2")
    album = OutboundAlbum((OutboundMedia("image", media_id="m1", mime_type="image/png"), again), "Our trip")
    ids = await send(stage, http, album, file, file)
    assert len(set(ids)) == 2
    first, second = [await shown(stage, one) for one in ids]
    assert (first["kind"], first["text"]) == ("image", "Our trip")
    assert (second["kind"], second["text"]) == ("image", None)


async def test_what_was_sent_can_be_edited_and_taken_back(stage: Stage, http: Http) -> None:
    [words] = await send(stage, http, OutboundText("Hello"))
    pick = OutboundChoices("buttons", "Which?", (ChoiceSection((Choice("Tea", "t"),)),))
    await ADAPTER.edit(http, account(stage), PEER, words, [pick])
    await ADAPTER.edit(http, account(stage), PEER, words, [pick])  # says this already: no error
    assert (await shown(stage, words))["text"] == "Which?"

    photo = OutboundMedia("image", media_id="m1", mime_type="image/png", caption="Look")
    [picture] = await send(stage, http, photo, OutboundFile("p.png", "image/png", PNG))
    await ADAPTER.edit(http, account(stage), PEER, picture, [OutboundText("Look again")])
    assert (await shown(stage, picture))["text"] == "Look again"

    await ADAPTER.delete(http, account(stage), PEER, picture)
    await ADAPTER.delete(http, account(stage), PEER, picture)  # gone already: no error
    with pytest.raises(SendError) as refused:
        await ADAPTER.edit(http, account(stage), PEER, picture, [OutboundText("Too late")])
    assert refused.value.fault.code == "not_found"


async def test_a_bot_is_connected_and_hears(stage: Stage, http: Http) -> None:
    here = Endpoint(stage.hook.url, secret="another_secret")
    await stage.do("setWebhook", url=stage.hook.url + "/else", secret_token="s3cret", allowed_updates=["message"])
    assert states(await ADAPTER.inspect(http, account(stage), here))["webhook"] == "broken"

    await ADAPTER.subscribe(http, account(stage), here)
    info = await stage.do("getWebhookInfo")
    assert set(info["allowed_updates"]) == set(UPDATES)
    assert set(states(await ADAPTER.inspect(http, account(stage), here)).values()) == {"ok"}

    stage.hook.updates.clear()
    await stage.say(text="Are you there?")
    assert await stage.control.flush()
    provider, secrets = TelegramProvider(), WebhookSecrets(("another_secret",))
    assert provider.verify({SECRET_HEADER: stage.hook.secrets[-1] or ""}, b"", secrets)
    [item] = provider.parse(_dumped(stage.hook.updates[-1]), account_id=BOT)
    assert isinstance(item, MessageReceived)
    assert item.parts == (TextPart("Are you there?"),)


async def test_a_wrong_token_is_a_finding(stage: Stage, http: Http) -> None:
    stranger = Account("telegram", BOT, f"{BOT}:BBBB-another-token", api_base=stage.server.telegram_url)
    assert states(await ADAPTER.inspect(http, stranger, None)) == {"token": "broken"}


def states(findings: list[Finding]) -> dict[str, str]:
    return {one.code: one.state for one in findings}


def _dumped(update: Json) -> bytes:
    return orjson.dumps(update)
