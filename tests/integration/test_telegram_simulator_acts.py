"""What the simulator's Telegram users can do, and that the adapter understands every bit of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from telegram_stage import ANN, BOT, GROUP, SUPERGROUP, Json, Stage, open_stage

from channels.inbound import UnsupportedEvent
from channels.simulator.client import SimulatorError
from channels.telegram.parse import parse_update


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        yield stage


@pytest.fixture
def stage(shared: Stage) -> Stage:
    shared.hook.updates.clear()
    return shared


def subset(expected: Any, found: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and subset(expected[key], found[key]) for key in expected)
    return bool(expected == found)


CONTENT: list[tuple[str, Json, Json]] = [
    ("text", {"text": "See https://example.com 🙂 @someone #tag"}, {"entities": [
        {"type": "url", "offset": 4, "length": 19}, {"type": "mention", "offset": 27, "length": 8},
        {"type": "hashtag", "offset": 36, "length": 4}]}),
    ("text", {"text": "bold", "telegram": {"entities": [{"type": "bold", "offset": 0, "length": 4}]}},
     {"entities": [{"type": "bold", "offset": 0, "length": 4}]}),
    ("start", {"payload": "abc"},
     {"text": "/start abc", "entities": [{"type": "bot_command", "offset": 0, "length": 6}]}),
    ("image", {"text": "hi", "telegram": {"spoiler": True}}, {"caption": "hi", "has_media_spoiler": True}),
    ("image", {"media_group_id": "g1"}, {"media_group_id": "g1"}),
    ("animation", {}, {"animation": {"duration": 3}, "document": {"mime_type": "video/mp4"}}),
    ("live_photo", {"text": "hi"}, {"live_photo": {"duration": 3}, "caption": "hi"}),
    ("voice", {}, {"voice": {"mime_type": "audio/ogg"}}),
    ("video_note", {}, {"video_note": {"length": 240}}),
    ("sticker", {"telegram": {"sticker": "animated"}}, {"sticker": {"is_animated": True, "is_video": False}}),
    ("sticker", {"telegram": {"sticker": "video"}}, {"sticker": {"is_animated": False, "is_video": True}}),
    ("location", {}, {"location": {"latitude": 52.52}}),
    ("location", {"telegram": {"live_period": 900}}, {"location": {"live_period": 900}}),
    ("location", {"place_name": "Cafe", "address": "Weg 1"},
     {"venue": {"title": "Cafe", "address": "Weg 1"}, "location": {"longitude": 13.405}}),
    ("contact", {}, {"contact": {"phone_number": "+46700000001", "first_name": "Bo", "last_name": "Berg"}}),
    ("poll", {"text": "Which?", "telegram": {"options": ["a", "b"]}}, {"poll": {"question": "Which?"}}),
    ("dice", {"telegram": {"value": 5}}, {"dice": {"emoji": "🎲", "value": 5}}),
    ("game", {"text": "Chess"}, {"game": {"title": "Chess"}}),
    ("share_story", {}, {"story": {"id": 9}}),
    ("paid_media", {"text": "look"}, {"paid_media": {"star_count": 4}, "caption": "look"}),
    ("checklist", {"text": "Trip"}, {"checklist": {"title": "Trip"}}),
    ("invoice", {"text": "Tea"}, {"invoice": {"title": "Tea", "total_amount": 500}}),
    ("payment", {}, {"successful_payment": {"currency": "EUR"}}),
    ("web_app", {"payload": '{"size": "XL"}'}, {"web_app_data": {"data": '{"size": "XL"}'}}),
    ("rich", {"text": "Title"}, {"rich_message": {"blocks": [
        {"type": "heading", "text": "Title", "size": 1}, {"type": "paragraph", "text": ["Simulated ", "words"]}]}}),
    ("service", {"telegram": {"service": {"message_auto_delete_timer_changed": {"message_auto_delete_time": 60}}}},
     {"message_auto_delete_timer_changed": {"message_auto_delete_time": 60}}),
    ("text", {"text": "fwd", "telegram": {"forwarded_from": "user"}}, {"forward_origin": {"type": "user"}}),
    ("text", {"text": "fwd", "telegram": {"forwarded_from": "chat"}}, {"forward_origin": {"author_signature": "Bo"}}),
    ("text", {"text": "fwd", "telegram": {"forwarded_from": "channel"}}, {"forward_origin": {"message_id": 31}}),
    ("text", {"text": "fwd", "forwarded": True}, {"forward_origin": {"sender_user_name": "Somebody"}}),
    ("text", {"text": "this", "telegram": {"reply_from": "channel", "quote": "Big news"}},
     {"external_reply": {"message_id": 31}, "quote": {"text": "Big news", "is_manual": True}}),
    ("text", {"text": "nice", "telegram": {"story": 3}}, {"reply_to_story": {"id": 3}}),
    ("text", {"text": "later", "telegram": {"offline": True}}, {"is_from_offline": True}),
    ("text", {"text": "hi", "group": SUPERGROUP, "telegram": {"topic": 12}},
     {"message_thread_id": 12, "is_topic_message": True, "chat": {"is_forum": True, "type": "supergroup"}}),
    ("text", {"text": "hi", "group": GROUP}, {"chat": {"id": -500, "type": "group"}}),
    ("text", {"text": "hi", "group": SUPERGROUP, "telegram": {"anonymous": True}},
     {"from": {"username": "GroupAnonymousBot"}, "sender_chat": {"id": -1001234}}),
    ("text", {"text": "psst", "group": SUPERGROUP, "telegram": {"ephemeral": True}},
     {"message_id": 0, "receiver_user": {"id": 4242}}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "act", "expected"), CONTENT)
async def test_content(stage: Stage, kind: str, act: Json, expected: Json) -> None:
    await stage.say(kind, **act)
    assert await stage.control.flush()
    raw = json.dumps(stage.hook.updates[0]).encode()
    assert subset(expected, await stage.told())
    (item,) = parse_update(raw, BOT)
    assert not isinstance(item, UnsupportedEvent)


async def test_pictures_come_in_sizes_and_each_can_be_loaded(stage: Stage) -> None:
    await stage.say("image")
    sizes = (await stage.told())["photo"]
    assert [size["width"] for size in sizes] == [90, 160]
    for size in sizes:
        file = await stage.do("getFile", file_id=size["file_id"])
        assert file["file_unique_id"] == size["file_unique_id"]


async def test_a_reply_quotes_a_stretch_and_one_level(stage: Stage) -> None:
    first = await stage.say(text="🙂 one two")
    await stage.told()
    second = await stage.say(text="two?", reply_to=first["id"], telegram={"quote": "two"})
    assert (await stage.told())["quote"] == {"text": "two", "position": 7, "is_manual": True}
    await stage.say(text="three", reply_to=second["id"])
    assert "reply_to_message" not in (await stage.told())["reply_to_message"]
    with pytest.raises(SimulatorError, match="no part of the message"):
        await stage.say(text="x", reply_to=first["id"], telegram={"quote": "nine"})


async def test_edits_seen_and_unseen(stage: Stage) -> None:
    said = await stage.say("image", "before")
    before = await stage.told()
    await stage.say("edit", "after", message_id=said["id"])
    edited = await stage.told("edited_message")
    assert (edited["caption"], edited["photo"]) == ("after", before["photo"])
    await stage.say("edit", message_id=said["id"])
    unseen = await stage.told("edited_message")
    assert {**unseen, "edit_date": 0} == {**edited, "edit_date": 0}


async def test_a_deep_link_is_bounded(stage: Stage) -> None:
    with pytest.raises(SimulatorError, match="at most 64"):
        await stage.say("start", payload="x" * 65)


async def test_reactions_of_every_kind(stage: Stage) -> None:
    number = (await stage.say(text="hi"))["id"]
    await stage.told()
    for more, shown in (
        ({"emoji": "👍"}, {"type": "emoji", "emoji": "👍"}),
        ({"telegram": {"custom_emoji": "55"}}, {"type": "custom_emoji", "custom_emoji_id": "55"}),
        ({"telegram": {"paid_reaction": True}}, {"type": "paid"}),
    ):
        await stage.say("reaction", message_id=number, **more)
        assert (await stage.told("message_reaction"))["new_reaction"] == [shown]
    await stage.say("unreact", message_id=number)
    assert (await stage.told("message_reaction"))["new_reaction"] == []


async def test_taps(stage: Stage) -> None:
    await stage.say(text="hi")
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y1"}, {"text": "Open", "url": "https://e.org"}]]}
    sent = await stage.do("sendMessage", chat_id=42, text="?", reply_markup=keyboard)
    stage.hook.updates.clear()
    await stage.say("callback", title="Yes", message_id=str(sent["message_id"]))
    tap = await stage.told("callback_query")
    assert (tap["data"], tap["message"]["message_id"], tap["message"]["text"]) == ("y1", sent["message_id"], "?")
    assert await stage.do("answerCallbackQuery", callback_query_id=tap["id"], text="Thanks") is True
    await stage.say("callback", payload="old", message_id="3")
    far = await stage.told("callback_query")
    assert (far["message"]["date"], far["data"]) == (0, "old")
    await stage.say("callback", payload="i", telegram={"inline_message_id": "abc"})
    inline = await stage.told("callback_query")
    assert inline["inline_message_id"] == "abc"
    assert "message" not in inline
    too_old = "Bad Request: query is too old and response timeout expired or query ID is invalid"
    assert await stage.refused("answerCallbackQuery", callback_query_id="1") == too_old
    await stage.say("callback", payload="late", at=1_700_000_000)
    late = await stage.told("callback_query")
    assert await stage.refused("answerCallbackQuery", callback_query_id=late["id"]) == too_old


async def test_blocking_and_membership(stage: Stage) -> None:
    await stage.say(text="hi")
    await stage.told()
    await stage.say("block")
    change = await stage.told("my_chat_member")
    assert (change["old_chat_member"]["status"], change["new_chat_member"]["status"]) == ("member", "kicked")
    assert change["new_chat_member"]["until_date"] == 0
    await stage.say("unblock")
    change = await stage.told("my_chat_member")
    assert (change["old_chat_member"]["status"], change["new_chat_member"]["status"]) == ("kicked", "member")
    where = {"id": "-1009", "title": "Club"}
    refusals = {
        "kicked": "Forbidden: bot was kicked from the supergroup chat",
        "left": "Forbidden: bot is not a member of the supergroup chat",
        "restricted": "Bad Request: not enough rights to send text messages to the chat",
    }
    for standing, refusal in refusals.items():
        await stage.say("membership", group=where, telegram={"standing": standing})
        assert (await stage.told("my_chat_member"))["new_chat_member"]["status"] == standing
        assert await stage.refused("sendMessage", chat_id=-1009, text="x") == refusal
        if standing != "restricted":
            with pytest.raises(SimulatorError, match="reaches the bot"):
                await stage.say(text="hi", group=where)
    await stage.say("membership", group=where, telegram={"standing": "administrator"})
    assert (await stage.told("my_chat_member"))["new_chat_member"]["can_manage_chat"] is True
    assert (await stage.do("sendMessage", chat_id=-1009, text="x"))["chat"]["title"] == "Club"


async def test_a_basic_group_shows_who_came_and_went(stage: Stage) -> None:
    where = {"id": "-501", "title": "Old"}
    await stage.say("membership", group=where, telegram={"standing": "kicked"})
    assert await stage.control.flush()
    assert stage.hook.told("message")[0]["left_chat_member"]["id"] == int(BOT)
    assert await stage.refused("sendMessage", chat_id=-501, text="x") == "Forbidden: bot was kicked from the group chat"


async def test_a_group_that_moved(stage: Stage) -> None:
    where = {"id": "-502", "title": "Moving"}
    await stage.say(text="hi", group=where)
    await stage.told()
    await stage.say("migrate", group=where, telegram={"moved_to": "-100502"})
    assert await stage.control.flush()
    old, new = stage.hook.told("message")
    assert (old["chat"]["id"], old["migrate_to_chat_id"]) == (-502, -100502)
    assert (new["chat"]["id"], new["migrate_from_chat_id"], new["chat"]["type"]) == (-100502, -502, "supergroup")
    answer = await stage.call("sendMessage", chat_id=-502, text="x")
    assert answer["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
    assert answer["parameters"] == {"migrate_to_chat_id": -100502}
    assert (await stage.do("sendMessage", chat_id=-100502, text="x"))["chat"]["id"] == -100502
    with pytest.raises(SimulatorError, match="another id now"):
        await stage.say(text="still here?", group=where)
    with pytest.raises(SimulatorError, match="became -100502 before"):
        await stage.say("migrate", group=where)


async def test_privacy_mode_hides_what_is_not_for_the_bot(stage: Stage) -> None:
    token = "77:BBBB-simulated-token"
    options: Json = {"privacy_mode": True, "username": "shop_bot"}
    await stage.control.register(
        "telegram", "77", token, secret_token="s3cret", webhook_url=stage.hook.url, options=options
    )
    for text in ("among us", "/help", "hey @shop_bot"):
        await stage.control.say("77", ANN, text, group=SUPERGROUP)
    await stage.control.say("77", ANN, "in private")
    assert await stage.control.flush()
    assert [each["text"] for each in stage.hook.told("message")] == ["/help", "hey @shop_bot", "in private"]


KINDS = (
    "channel_post edited_channel_post guest_message message_reaction_count inline_query chosen_inline_result "
    "shipping_query pre_checkout_query purchased_paid_media poll poll_answer chat_member chat_join_request chat_boost "
    "removed_chat_boost managed_bot subscription stopped_message_generation"
)


@pytest.mark.parametrize("kind", KINDS.split())
async def test_kinds_of_updates_that_no_act_brings(stage: Stage, kind: str) -> None:
    await stage.say("update", telegram={"update": kind})
    assert await stage.told(kind)


async def test_a_misspelt_kind_of_update_is_refused(stage: Stage) -> None:
    with pytest.raises(SimulatorError, match=r"telegram\.update is one of channel_post"):
        await stage.say("update", telegram={"update": "mesage"})
    with pytest.raises(SimulatorError, match="Extra inputs"):
        await stage.say("text", "x", telegram={"forwarded": True})
