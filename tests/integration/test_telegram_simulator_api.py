"""The simulated Bot API: what it takes, what it answers, and the words with which it refuses (facts, 4.3-4.7)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from telegram_stage import ANN, BOT, SUPERGROUP, TOKEN, Json, Stage, open_stage

from channels.simulator.client import SimulatorError
from channels.simulator.samples import sample
from channels.simulator.telegram_flood import check_flood
from channels.simulator.telegram_rooms import Refusal, Room
from channels.simulator.world import Account, Customer

PNG = sample("image")
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Stage]:
    async with open_stage() as stage:
        await stage.say(text="hi")
        await stage.say(text="hi", group=SUPERGROUP)
        yield stage


@pytest.fixture
async def stage(shared: Stage) -> Stage:
    await shared.control.flush()
    shared.hook.updates.clear()
    return shared


def wide_png(width: int, height: int) -> bytes:
    return PNG[:16] + struct.pack(">II", width, height) + PNG[24:]


def bad(words: str) -> str:
    return f"Bad Request: {words}"


ENTITIES = "can't parse entities: "
BUTTON = "can't parse inline keyboard button: "
REFUSED: list[tuple[str, Json, str]] = [
    ("sendMessage", {"text": " "}, "message text is empty"),
    ("sendMessage", {"text": "x" * 4097}, "message is too long"),
    ("sendMessage", {"text": "*x", "parse_mode": "MarkdownV2"}, ENTITIES + "can't find end of Bold entity"),
    ("sendMessage", {"text": "1.", "parse_mode": "MarkdownV2"}, ENTITIES + "character '.' is reserved"),
    ("sendMessage", {"text": "x", "parse_mode": "bbcode"}, "unsupported parse_mode"),
    ("sendMessage", {"text": "x", "reply_parameters": {"message_id": 1}}, "message to be replied not found"),
    ("sendMessage", {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "t"}]]}},
     BUTTON + "Text buttons are unallowed"),
    ("sendMessage", {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "t", "callback_data": ""}]]}},
     "BUTTON_DATA_INVALID"),
    ("sendMessage", {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "t", "url": "nowhere"}]]}},
     "inline keyboard button URL 'nowhere' is invalid"),
    ("sendMessage", {"text": "x", "reply_markup": {"keyboard": [[""]]}}, "can't parse keyboard button"),
    ("sendMessage", {"text": "x", "reply_markup": {"keyboard": "?"}}, 'field "keyboard" of the ReplyMarkup'),
    ("sendPoll", {"question": "?", "options": ["one"]}, "poll must have at least 2 option"),
    ("sendPoll", {"question": "?", "options": ["x"] * 13}, "poll can't have more than 12 options"),
    ("sendContact", {"phone_number": "+1"}, "first_name must be non-empty"),
    ("sendLocation", {"latitude": 1, "longitude": 2, "live_period": 5}, "invalid live_period specified"),
    ("sendMediaGroup", {"media": []}, "media is empty"),
    ("sendMediaGroup", {"media": [{"type": "sticker", "media": "x"}] * 2}, "can't parse InputMedia"),
    ("sendMediaGroup", {"media": [{"type": "document", "media": "x"}, {"type": "photo", "media": "x"}]},
     "Document can't be mixed with other media types"),
    ("sendMediaGroup", {"media": [{"type": "photo", "media": "attach://a"}] * 2}, 'can\'t find file "a"'),
    ("sendChatAction", {"action": "dancing"}, "wrong parameter action in request"),
    ("setMessageReaction", {"message_id": 1, "reaction": []}, "message to react not found"),
    ("deleteMessage", {"message_id": 1}, "message to delete not found"),
    ("deleteMessage", {}, "message identifier is not specified"),
    ("editMessageText", {"message_id": 1, "text": "x"}, "message to edit not found"),
    ("getFile", {"file_id": "nothing"}, "invalid file_id"),
    ("sendVideoNote", {"video_note": "https://example.org/v.mp4"}, "wrong file identifier/HTTP URL specified"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "fields", "words"), REFUSED)
async def test_refusals(stage: Stage, method: str, fields: Json, words: str) -> None:
    assert (await stage.refused(method, chat_id=42, **fields)).startswith(bad(words))


async def test_people_and_chats_that_take_nothing(stage: Stage) -> None:
    for number, state, words in (
        (61, {"blocked": True}, "Forbidden: bot was blocked by the user"),
        (62, {"reachable": False}, "Forbidden: user is deactivated"),
        (63, {"started": False}, "Forbidden: bot can't initiate conversation with a user"),
    ):
        await stage.control.customer(BOT, {"id": str(number)}, **state)
        for method in ("sendMessage", "sendChatAction", "sendPhoto"):
            assert await stage.refused(method, chat_id=number, text="x", action="typing", photo="x") == words
    assert await stage.refused("sendMessage", chat_id=64, text="x") == bad("chat not found")
    assert await stage.refused("sendMessage", chat_id="@ann", text="x") == bad("chat not found")


async def test_markdown_becomes_entities(stage: Stage) -> None:
    text = r"🙂 *bo_l_d* [here](https://e.org) 1\."
    sent = await stage.do("sendMessage", chat_id=42, text=text, parse_mode="MarkdownV2")
    assert sent["text"] == "🙂 bold here 1."
    assert sent["entities"] == [
        {"type": "italic", "offset": 5, "length": 1}, {"type": "bold", "offset": 3, "length": 4},
        {"type": "text_link", "offset": 8, "length": 4, "url": "https://e.org"},
    ]  # fmt: skip


async def test_replies_quote_and_lead_elsewhere(stage: Stage) -> None:
    said = await stage.say(text="one two three")
    quote = {"message_id": int(said["id"]), "quote": "two"}
    sent = await stage.do("sendMessage", chat_id=42, text="x", reply_parameters=quote)
    assert sent["quote"] == {"text": "two", "position": 4, "is_manual": True}
    wrong = await stage.refused("sendMessage", chat_id=42, text="x", reply_parameters={**quote, "quote": "nine"})
    assert wrong == bad("QUOTE_TEXT_INVALID")
    there = await stage.do("sendMessage", chat_id=-1001234, text="x", reply_parameters={**quote, "chat_id": 42})
    assert there["external_reply"]["origin"]["sender_user"]["id"] == 42
    lost = {"message_id": 1, "allow_sending_without_reply": True}
    assert "reply_to_message" not in await stage.do("sendMessage", chat_id=42, text="x", reply_parameters=lost)


async def test_keyboards_that_belong_to_the_chat_are_no_part_of_the_message(stage: Stage) -> None:
    for markup in (
        {"keyboard": [["Yes", {"text": "Phone", "request_contact": True}]], "one_time_keyboard": True},
        {"remove_keyboard": True},
        {"force_reply": True, "input_field_placeholder": "Name"},
    ):
        assert "reply_markup" not in await stage.do("sendMessage", chat_id=42, text="x", reply_markup=markup)


# --- Files ------------------------------------------------------------------------------------------------------------


async def test_files_by_upload_name_and_id(stage: Stage) -> None:
    first = (await stage.form("sendPhoto", {"photo": PNG}, chat_id="42"))["result"]["photo"][-1]
    named = await stage.form("sendPhoto", {"mine": PNG}, chat_id="42", photo="attach://mine")
    assert len(named["result"]["photo"]) == 2
    again = await stage.do("sendPhoto", chat_id=42, photo=first["file_id"], caption="again")
    assert again["photo"][-1]["file_id"] == first["file_id"]
    words = await stage.refused("sendVideo", chat_id=42, video=first["file_id"])
    assert words == bad("can't use file of type Photo as Video")
    empty = await stage.form("sendDocument", {"document": b""}, chat_id="42")
    assert empty["description"] == bad("file must be non-empty")
    media = '[{"type": "photo", "media": "attach://a", "caption": "c"}, {"type": "photo", "media": "attach://b"}]'
    album = (await stage.form("sendMediaGroup", {"a": PNG, "b": PNG}, chat_id="42", media=media))["result"]
    assert [each.get("caption") for each in album] == ["c", None]
    assert len({each["media_group_id"] for each in album}) == 1
    assert album[1]["message_id"] == album[0]["message_id"] + 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no picture", "IMAGE_PROCESS_FAILED"),
        (wide_png(9000, 1001), "PHOTO_INVALID_DIMENSIONS"),
        (wide_png(2100, 100), "PHOTO_INVALID_DIMENSIONS"),
    ],
)
async def test_pictures_are_looked_at(stage: Stage, data: bytes, words: str) -> None:
    assert (await stage.form("sendPhoto", {"photo": data}, chat_id="42"))["description"] == bad(words)
    assert (await stage.form("sendDocument", {"document": data}, chat_id="42"))["ok"]


async def test_sizes(stage: Stage) -> None:
    answer = await stage.form("sendPhoto", {"photo": PNG + bytes(10 * MEGABYTE)}, chat_id="42")
    assert (answer["error_code"], answer["description"]) == (413, "Request Entity Too Large")
    sent = await stage.form("sendDocument", {"document": bytes(20 * MEGABYTE + 1)}, chat_id="42")
    file_id = sent["result"]["document"]["file_id"]
    assert await stage.refused("getFile", file_id=file_id) == bad("file is too big")
    again = await stage.do("sendDocument", chat_id=42, document=file_id)  # by id there is no limit
    assert again["document"]["file_size"] == 20 * MEGABYTE + 1


async def test_links_are_loaded_within_limits(stage: Stage) -> None:
    bodies = {
        "/big.png": (PNG + bytes(5 * MEGABYTE), "image/png"), "/page.png": (b"<html>", "text/html"),
        "/long.ogg": (sample("voice") + bytes(MEGABYTE), "audio/ogg"), "/ok.png": (PNG, "image/png"),
    }  # fmt: skip

    async def serve(request: web.Request) -> web.Response:
        data, kind = bodies[request.path]
        return web.Response(body=data, content_type=kind)

    app = web.Application()
    app.router.add_get("/{name}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        await _check_links(stage, base)
    finally:
        await runner.cleanup()


async def _check_links(stage: Stage, base: str) -> None:
    assert (await stage.do("sendPhoto", chat_id=42, photo=f"{base}/ok.png"))["photo"]
    assert await stage.refused("sendPhoto", chat_id=42, photo=f"{base}/big.png") == bad("file is too big")
    wrong = await stage.refused("sendPhoto", chat_id=42, photo=f"{base}/page.png")
    assert wrong == bad("wrong type of the web page content")
    voice = await stage.do("sendVoice", chat_id=42, voice=f"{base}/long.ogg")
    assert "document" in voice
    assert "voice" not in voice


async def test_a_file_id_is_good_for_one_bot(stage: Stage) -> None:
    await stage.say("document", filename="my report/1.pdf")
    file_id = (await stage.told())["document"]["file_id"]
    path = (await stage.do("getFile", file_id=file_id))["file_path"]
    await stage.control.register("telegram", "78", "78:CCCC-simulated-token")
    async with stage.http.get(f"{stage.server.telegram_url}/bot78:CCCC-simulated-token/getFile?file_id={file_id}") as a:
        assert a.status == 400
    for token, status in ((TOKEN, 200), ("78:CCCC-simulated-token", 404), ("78:DDDD-simulated-token", 401)):
        async with stage.http.get(f"{stage.server.telegram_url}/file/bot{token}/{path}") as answer:
            assert answer.status == status


async def test_profiles(stage: Stage) -> None:
    await stage.control.customer(BOT, {"id": "71", "name": "Cy Day", "username": "cyday"}, bio="Hello", photo=True)
    chat = await stage.do("getChat", chat_id=71)
    assert (chat["bio"], chat["first_name"], chat["active_usernames"]) == ("Hello", "Cy", ["cyday"])
    for size in ("small_file_id", "big_file_id"):
        assert (await stage.do("getFile", file_id=chat["photo"][size]))["file_path"].startswith("photos/")
    photos = await stage.do("getUserProfilePhotos", user_id=71)
    assert (photos["total_count"], photos["photos"][0][-1]["file_id"]) == (1, chat["photo"]["big_file_id"])
    await stage.control.customer(BOT, {"id": "71"}, photo=False)
    assert (await stage.do("getUserProfilePhotos", user_id=71))["photos"] == []
    assert "photo" not in await stage.do("getChat", chat_id=71)
    assert await stage.refused("getUserProfilePhotos", user_id=72) == bad("user not found")
    assert (await stage.do("getMe"))["can_connect_to_business"] is True


# --- Changes ----------------------------------------------------------------------------------------------------------


async def test_edits_of_media(stage: Stage) -> None:
    sent = (await stage.form("sendPhoto", {"photo": PNG}, chat_id="42", caption="one"))["result"]
    where = {"chat_id": 42, "message_id": sent["message_id"]}
    assert (await stage.do("editMessageCaption", **where, caption="two"))["caption"] == "two"
    assert "caption" not in await stage.do("editMessageCaption", **where)
    media = {"type": "document", "media": "attach://new", "caption": "three"}
    edited = await stage.form(
        "editMessageMedia", {"new": b"text"}, chat_id="42", message_id=str(sent["message_id"]),
        media=str(media).replace("'", '"'),
    )  # fmt: skip
    assert "photo" not in edited["result"]
    assert (edited["result"]["caption"], edited["result"]["document"]["file_name"]) == ("three", "new.png")
    keyboard = {"inline_keyboard": [[{"text": "t", "callback_data": "d"}]]}
    assert (await stage.do("editMessageReplyMarkup", **where, reply_markup=keyboard))["reply_markup"] == keyboard
    same = await stage.refused("editMessageReplyMarkup", **where, reply_markup=keyboard)
    assert same.startswith(bad("message is not modified: specified new message content and reply markup are exactly"))
    assert await stage.refused("editMessageText", **where, text="x") == bad("there is no text in the message to edit")


async def test_only_own_messages_can_be_edited(stage: Stage) -> None:
    said = await stage.say(text="mine")
    where = {"chat_id": 42, "message_id": int(said["id"])}
    assert await stage.refused("editMessageText", **where, text="x") == bad("message can't be edited")
    text = await stage.do("sendMessage", chat_id=42, text="x")
    where["message_id"] = text["message_id"]
    assert await stage.refused("editMessageCaption", **where, caption="x") == bad(
        "there is no caption in the message to edit"
    )


async def test_deletions(stage: Stage) -> None:
    forever = bad("message can't be deleted for everyone")
    old = await stage.say(text="old", at=1_700_000_000)
    assert await stage.refused("deleteMessage", chat_id=42, message_id=int(old["id"])) == forever
    theirs = await stage.say(text="in the group", group=SUPERGROUP)
    assert await stage.refused("deleteMessage", chat_id=-1001234, message_id=int(theirs["id"])) == forever
    dice = await stage.do("sendDice", chat_id=42)
    assert await stage.refused("deleteMessage", chat_id=42, message_id=dice["message_id"]) == forever
    numbers = [(await stage.do("sendMessage", chat_id=42, text="x"))["message_id"] for _ in range(2)]
    assert await stage.do("deleteMessages", chat_id=42, message_ids=[*numbers, 1]) is True
    gone = await stage.refused("editMessageText", chat_id=42, message_id=numbers[0], text="y")
    assert gone == bad("message to edit not found")


async def test_reactions(stage: Stage) -> None:
    said = await stage.say(text="hi")
    where = {"chat_id": 42, "message_id": int(said["id"])}
    heart = {"type": "emoji", "emoji": "❤"}
    assert await stage.do("setMessageReaction", **where, reaction=[heart]) is True
    for reaction, words in (
        ([heart, heart], "REACTIONS_TOO_MANY"),
        ([{"type": "emoji", "emoji": "❤️"}], "REACTION_INVALID"),
        ([{"type": "emoji", "emoji": "🥑"}], "REACTION_INVALID"),
    ):
        assert await stage.refused("setMessageReaction", **where, reaction=reaction) == bad(words)
    (seen,) = [each for each in await stage.control.inbox(BOT, "42", everything=True) if each["id"] == said["id"]]
    assert seen["reactions"] == {"business": "❤"}
    assert await stage.do("setMessageReaction", **where) is True


async def test_throttles_name_the_wait_twice(stage: Stage) -> None:
    await stage.control.fault("api", "throttle", count=1, retry_after=7)
    url = f"{stage.server.telegram_url}/bot{TOKEN}/sendMessage"
    async with stage.http.post(url, json={"chat_id": 42, "text": "x"}) as answer:
        body = await answer.json()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert (body["description"], body["parameters"]) == ("Too Many Requests: retry after 7", {"retry_after": 7})


async def test_rates_that_telegram_names(stage: Stage) -> None:
    token = "79:EEEE-simulated-token"
    await stage.control.register("telegram", "79", token, options={"flood_limits": True})
    group: Json = {"id": "-600", "title": "Busy"}
    await stage.control.say("79", {"id": "800"}, "hi")
    await stage.control.say("79", {"id": "800"}, "hi", group=group)

    async def send(chat: int) -> int | None:
        url = f"{stage.server.telegram_url}/bot{token}/sendMessage"
        async with stage.http.post(url, json={"chat_id": chat, "text": "x"}) as answer:
            told = (await answer.json()).get("parameters", {}).get("retry_after")
            return None if told is None else int(told)

    waits = [await send(800) for _ in range(4)]
    assert waits[:3] == [None] * 3
    assert waits[3] in (1, 2, 3)
    waits = [await send(-600) for _ in range(21)]
    assert waits[:20] == [None] * 20
    assert waits[20] in (59, 60)


def test_a_bot_sends_thirty_a_second_to_whomever() -> None:
    account = Account("telegram", "79", "79:EEEE-simulated-token")
    account.bot.flood_limits = True
    rooms = [Room(account, Customer(str(number), "Ann")) for number in range(40)]
    for room in rooms[:30]:
        check_flood(room, 100.0)
    with pytest.raises(Refusal) as refused:
        check_flood(rooms[30], 100.5)
    assert (refused.value.code, refused.value.parameters) == (429, {"retry_after": 1})
    check_flood(rooms[30], 101.0, messages=10)  # an album counts by its pictures
    assert len(account.bot.sent_at) == 10


# --- Business accounts ------------------------------------------------------------------------------------------------

OLGA: Json = {"id": "900", "name": "Olga"}


async def connected(stage: Stage, name: str, *rights: str) -> None:
    await stage.say("connect", who=OLGA, telegram={"business": name, "rights": [*rights]})
    connection = await stage.told("business_connection")
    assert (connection["id"], connection["user"]["id"], connection["is_enabled"]) == (name, 900, True)


async def test_a_business_account_is_served(stage: Stage) -> None:
    await connected(stage, "c1", "can_reply", "can_read_messages", "can_delete_sent_messages")
    silent = bad("BUSINESS_PEER_USAGE_MISSING")
    there: Json = {"chat_id": 42, "business_connection_id": "c1"}
    assert await stage.refused("sendMessage", **there, text="x") == silent
    said = await stage.say(text="to the owner", telegram={"business": "c1"})
    message = await stage.told("business_message")
    assert (message["business_connection_id"], message["chat"]["id"]) == ("c1", 42)
    reply = {"message_id": message["message_id"]}
    sent = await stage.do("sendMessage", **there, text="hello", reply_parameters=reply)
    assert (sent["business_connection_id"], sent["from"]["id"]) == ("c1", 900)
    assert sent["sender_business_bot"]["id"] == int(BOT)
    own = await stage.refused("sendMessage", chat_id=42, text="x", reply_parameters=reply)
    assert own == bad("message to be replied not found")  # another chat, though of the same id
    edited = await stage.do("editMessageText", **there, message_id=sent["message_id"], text="hullo")
    assert edited["text"] == "hullo"
    assert await stage.do("readBusinessMessage", **there, message_id=message["message_id"]) is True
    await stage.say("edit", "changed", message_id=said["id"], telegram={"business": "c1"})
    assert (await stage.told("edited_business_message"))["text"] == "changed"
    await stage.say("unsend", message_id=said["id"], telegram={"business": "c1"})
    gone = await stage.told("deleted_business_messages")
    assert (gone["message_ids"], gone["business_connection_id"]) == ([message["message_id"]], "c1")
    deleted = {"business_connection_id": "c1", "message_ids": [sent["message_id"]]}
    assert await stage.do("deleteBusinessMessages", **deleted) is True
    assert await stage.refused("deleteBusinessMessages", **deleted) == bad("message to delete not found")


async def test_the_owner_writes_edits_and_deletes(stage: Stage) -> None:
    await connected(stage, "c2", "can_reply")
    native = await stage.control.native(BOT, ANN, "from my phone")
    mine = await stage.told("business_message")
    assert (mine["from"]["id"], mine["chat"]["id"], mine["text"]) == (900, 42, "from my phone")
    assert str(mine["message_id"]) == native["id"]


async def test_rights_and_the_end_of_a_connection(stage: Stage) -> None:
    await connected(stage, "c3")
    await stage.say(text="hi", telegram={"business": "c3"})
    there: Json = {"chat_id": 42, "business_connection_id": "c3"}
    assert (await stage.refused("sendMessage", **there, text="x")).startswith(bad("not enough rights"))
    assert await stage.refused("readBusinessMessage", **there, message_id=101) == "Forbidden: not enough rights"
    stage.hook.updates.clear()
    await stage.control.flush()
    stage.hook.updates.clear()
    await stage.say("disconnect", who=OLGA, telegram={"business": "c3"})
    ended = await stage.told("business_connection")
    assert ended["is_enabled"] is False
    assert await stage.refused("sendMessage", **there, text="x") == bad("BUSINESS_CONNECTION_INVALID")
    assert (await stage.do("getBusinessConnection", business_connection_id="c3"))["is_enabled"] is False
    unknown = await stage.refused("getBusinessConnection", business_connection_id="c9")
    assert unknown == bad("business connection not found")


async def test_deletions_outside_business_chats_are_not_told(stage: Stage) -> None:
    said = await stage.say(text="hi")
    with pytest.raises(SimulatorError, match="no deletion"):
        await stage.say("unsend", message_id=said["id"])
