"""aiogram reads every update that the simulated Telegram sends, and knows every field in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import get_args

import pytest
from aiogram.types import Update
from strictness import unknown_fields
from telegram_stage import ANN, BOT, GROUP, SUPERGROUP, Json, Stage, open_stage

from channels.simulator.schemas import SayKind
from channels.simulator.telegram_state import UPDATE_KINDS

OLGA: Json = {"id": "900", "name": "Olga"}
NOT_TELEGRAMS = frozenset({
    "list_reply", "unsend", "story_reply", "story_mention", "share", "like_heart", "ephemeral", "referral", "order",
    "number_changed", "opt_out", "opt_in", "raw", "flow_reply", "empty_interactive", "contact_info", "call_permission",
    "link_click", "call", "user_id_changed", "identity_changed", "optin", "reel", "post", "story",
})  # fmt: skip
"""Acts of other channels; what is made up (``raw``) or needs a business account (``unsend``) is not asked here."""
TARGETED = frozenset({"reaction", "unreact", "edit", "button", "callback", "postback"})
BY_ACTS = frozenset({
    "message", "edited_message", "business_connection", "business_message", "edited_business_message",
    "deleted_business_messages", "message_reaction", "callback_query", "my_chat_member",
})  # fmt: skip
IN_GROUP: list[Json] = [
    {"kind": "membership", "telegram": {"standing": standing}}
    for standing in ("administrator", "restricted", "left", "kicked", "member")
]
MORE: list[Json] = [
    {"kind": "text", "text": "https://e.org @someone #tag a@b.co /x"},
    {"kind": "text", "text": "x", "forwarded": True},
    *({"kind": "text", "text": "x", "telegram": {"forwarded_from": each}} for each in ("user", "chat", "channel")),
    *({"kind": "text", "text": "x", "telegram": {"reply_from": each}} for each in ("user", "hidden_user", "channel")),
    {"kind": "text", "text": "x", "telegram": {"story": 3, "quote": "x", "offline": True}},
    {"kind": "text", "text": "x", "group": SUPERGROUP, "telegram": {"topic": 7}},
    {"kind": "text", "text": "x", "group": SUPERGROUP, "telegram": {"anonymous": True}},
    {"kind": "text", "text": "x", "group": SUPERGROUP, "telegram": {"ephemeral": True}},
    {"kind": "location", "telegram": {"live_period": 60}},
    {"kind": "location", "place_name": "Cafe", "address": "Weg 1"},
    {"kind": "sticker", "telegram": {"sticker": "video"}},
    {"kind": "reaction", "message_id": "5", "telegram": {"custom_emoji": "5"}},
    {"kind": "reaction", "message_id": "5", "telegram": {"paid_reaction": True}},
    {"kind": "callback", "payload": "p", "telegram": {"inline_message_id": "i"}},
    {"kind": "callback", "payload": "p", "message_id": "5"},
    *({**each, "group": GROUP} for each in IN_GROUP),
    {"kind": "migrate", "group": {"id": "-511", "title": "Moving"}},
    *({"kind": "update", "telegram": {"update": each}} for each in UPDATE_KINDS if each not in BY_ACTS),
]


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        yield stage


async def check(stage: Stage) -> list[Update]:
    assert await stage.control.flush()
    read = [Update.model_validate(update) for update in stage.hook.updates]
    stage.hook.updates.clear()
    assert read, "nothing was told"
    for update in read:
        assert update.event_type
        assert not list(unknown_fields(update))
    return read


def test_a_field_that_the_judge_does_not_know_is_found() -> None:
    chat: Json = {"id": 1, "type": "private", "made_up": True}
    update = Update.model_validate({"update_id": 1, "message": {"message_id": 1, "date": 1, "chat": chat, "new": 1}})
    assert sorted(unknown_fields(update)) == [".message.chat.made_up", ".message.new"]


@pytest.mark.parametrize("kind", sorted(set(get_args(SayKind)) - NOT_TELEGRAMS - {"update", "membership", "migrate"}))
async def test_each_act(stage: Stage, kind: str) -> None:
    if kind == "disconnect":
        await stage.say("connect", telegram={"business": "gone"})
    target = (await stage.say(text="before"))["id"]
    await check(stage)
    more: Json = {"message_id": target} if kind in TARGETED else {}
    if kind == "disconnect":
        more["telegram"] = {"business": "gone"}
    await stage.say(kind, "after", **more)
    await check(stage)


@pytest.mark.parametrize("act", MORE)
async def test_what_an_act_can_have_beside_it(stage: Stage, act: Json) -> None:
    told = act.get("telegram", {}).get("update")
    await stage.control.say(BOT, ANN, **act)
    for update in await check(stage):
        assert told in (None, update.event_type)


async def test_a_business_account(stage: Stage) -> None:
    await stage.say("connect", who=OLGA, telegram={"business": "c1"})
    said = await stage.say(text="hi", telegram={"business": "c1"})
    await stage.say("edit", "ho", message_id=said["id"], telegram={"business": "c1"})
    await stage.say("unsend", message_id=said["id"], telegram={"business": "c1"})
    await stage.control.native(BOT, ANN, "from my phone")
    await stage.say("disconnect", who=OLGA, telegram={"business": "c1"})
    assert {update.event_type for update in await check(stage)} == {
        "business_connection", "business_message", "edited_business_message", "deleted_business_messages",
    }  # fmt: skip
