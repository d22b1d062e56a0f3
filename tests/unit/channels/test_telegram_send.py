"""The calls of the Bot API: where they go, what they carry, what answers mean; and that the token stays inside."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
from fake_http import FakeHttp

from channels.adapter import AccountFacts, OutboundFile, Upload
from channels.content import Entity, MediaRef
from channels.errors import ContentRefused, FetchError, SendError
from channels.outbound import (
    Accepted,
    Choice,
    ChoiceSection,
    Envelope,
    OutboundAlbum,
    OutboundChoices,
    OutboundLocation,
    OutboundMedia,
    OutboundPart,
    OutboundReaction,
    OutboundText,
    Piece,
)
from channels.telegram.adapter import TelegramAdapter
from channels.types import Account, Address, JsonObject, JsonValue, Person

TOKEN = "777:AAsecretsecret"
ACCOUNT = Account("telegram", "777", TOKEN)
API = f"https://api.telegram.org/bot{TOKEN}"
USER = Address("telegram_user", "", "42")
BUSINESS = Address("telegram_business", "c1", "42")
OLD_GROUP = Address("telegram_chat", "", "-500")
GROUP = Address("telegram_chat", "", "-1001234567890")
ADAPTER = TelegramAdapter()
QUOTE: JsonObject = {"message_id": 9, "allow_sending_without_reply": True}


@pytest.fixture
async def http() -> AsyncIterator[FakeHttp]:
    client = FakeHttp()
    yield client
    client.assert_used_up()


def sent(message_id: int = 11, chat: int = 42, **fields: JsonValue) -> JsonObject:
    return {"ok": True, "result": {"message_id": message_id, "chat": {"id": chat}, "date": 1, **fields}}


def error(code: int, description: str, **parameters: JsonValue) -> JsonObject:
    body: JsonObject = {"ok": False, "error_code": code, "description": description}
    return {**body, "parameters": parameters} if parameters else body


def envelope(
    part: OutboundPart | None = None, *recipient: Address, reply_to: str | None = None, piece: Piece | None = None
) -> Envelope:
    chosen = piece or ADAPTER.plan([part or OutboundText("Hi")])[0]
    return Envelope(chosen, recipient or (USER,), "d-1", reply_to)


async def test_a_text_goes_to_the_user_and_comes_back_with_its_id(http: FakeHttp) -> None:
    http.answer(sent())
    accepted = await ADAPTER.send(http, ACCOUNT, envelope(), ())
    assert accepted == Accepted(("42:11",))
    assert (http.last.method, http.last.url) == ("POST", f"{API}/sendMessage")
    assert http.last.json == {"text": "Hi", "chat_id": 42}


@pytest.mark.parametrize(
    ("label", "recipient", "reply_to", "expected"),
    [
        ("a quoted message", (USER,), "42:9", {"chat_id": 42, "reply_parameters": QUOTE}),
        ("a tap cannot be quoted", (USER,), "callback:4382", {"chat_id": 42}),
        ("a message of another chat cannot be quoted", (USER,), "-100555:31", {"chat_id": 42}),
        ("a business account's customer", (USER, BUSINESS), None, {"chat_id": 42, "business_connection_id": "c1"}),
        (
            "a quote in a business account's chat", (USER, BUSINESS), "c1:42:9",
            {"chat_id": 42, "business_connection_id": "c1", "reply_parameters": QUOTE},
        ),
        (
            "a quote in the bot's own chat", (USER, BUSINESS), "42:9",
            {"chat_id": 42, "reply_parameters": QUOTE},
        ),
        ("a group", (GROUP,), None, {"chat_id": -1001234567890}),
        ("an upgraded group", (GROUP, OLD_GROUP), None, {"chat_id": -1001234567890}),
    ],
)  # fmt: skip
async def test_where_a_message_goes(
    http: FakeHttp, label: str, recipient: tuple[Address, ...], reply_to: str | None, expected: JsonObject
) -> None:
    http.answer(sent())
    await ADAPTER.send(http, ACCOUNT, envelope(None, *recipient, reply_to=reply_to), ())
    assert http.last.json == {"text": "Hi", **expected}


async def test_a_business_message_has_the_connection_in_its_id(http: FakeHttp) -> None:
    http.answer(sent(business_connection_id="c1"))
    assert await ADAPTER.send(http, ACCOUNT, envelope(None, USER, BUSINESS), ()) == Accepted(("c1:42:11",))


async def test_an_album_uploads_its_files_and_has_an_id_for_each(http: FakeHttp) -> None:
    http.answer({"ok": True, "result": [sent(number)["result"] for number in (11, 12, 13)]})
    items = (
        OutboundMedia("image", media_id="m1"),
        OutboundMedia("image", url="https://a.test/p"),
        OutboundMedia("video", media_id="m2"),
    )
    [piece] = ADAPTER.plan([OutboundAlbum(items, "Trip")])
    files = (OutboundFile("p.jpg", "image/jpeg", b"\xff\xd8"), OutboundFile("v.mp4", "video/mp4", b"mp4"))
    accepted = await ADAPTER.send(http, ACCOUNT, envelope(piece=piece, reply_to="42:9"), files)
    assert accepted == Accepted(("42:11", "42:12", "42:13"))
    assert http.last.url == f"{API}/sendMediaGroup"
    assert http.last.files == (
        Upload("file0", "p.jpg", "image/jpeg", b"\xff\xd8"),
        Upload("file1", "v.mp4", "video/mp4", b"mp4"),
    )
    assert http.last.form is not None
    assert orjson.loads(http.last.form["media"]) == [
        {"type": "photo", "media": "attach://file0", "caption": "Trip"},
        {"type": "photo", "media": "https://a.test/p"},
        {"type": "video", "media": "attach://file1"},
    ]
    assert orjson.loads(http.last.form["reply_parameters"]) == QUOTE


async def test_a_reaction_has_no_id_and_takes_no_connection(http: FakeHttp) -> None:
    http.answer({"ok": True, "result": True})
    message = envelope(OutboundReaction("42:9", "👍"), USER, BUSINESS, reply_to="42:9")
    assert await ADAPTER.send(http, ACCOUNT, message, ()) == Accepted(())
    assert http.last.url == f"{API}/setMessageReaction"
    assert http.last.json == {"message_id": 9, "reaction": [{"type": "emoji", "emoji": "👍"}], "chat_id": 42}


@pytest.mark.parametrize("fields", [{"files": ["photo"]}, {"file": "photo"}], ids=["now", "the first version"])
async def test_a_stored_file_is_uploaded_with_its_fields_as_text(http: FakeHttp, fields: JsonObject) -> None:
    http.answer(sent())
    piece = Piece({"method": "sendPhoto", "params": {"caption": "Look"}, **fields}, media_ids=("m1",))
    file = OutboundFile("p.jpg", "image/jpeg", b"\xff\xd8")
    await ADAPTER.send(http, ACCOUNT, envelope(piece=piece, reply_to="42:9"), (file,))
    assert http.last.json is None
    assert http.last.files == (Upload("photo", "p.jpg", "image/jpeg", b"\xff\xd8"),)
    assert http.last.form == {
        "caption": "Look",
        "chat_id": "42",
        "reply_parameters": '{"message_id":9,"allow_sending_without_reply":true}',
    }


async def test_the_simulator_takes_the_providers_place(http: FakeHttp) -> None:
    http.answer(sent())
    account = Account("telegram", "777", TOKEN, api_base="http://127.0.0.1:9")
    await ADAPTER.send(http, account, envelope(), ())
    assert http.last.url == f"http://127.0.0.1:9/bot{TOKEN}/sendMessage"


async def test_what_is_there_already_counts_as_sent(http: FakeHttp) -> None:
    http.answer(error(400, "Bad Request: message is not modified: …"), status=400)
    assert await ADAPTER.send(http, ACCOUNT, envelope(), ()) == Accepted((), note="not_modified")


async def test_an_accepted_message_without_an_id_is_still_accepted(http: FakeHttp) -> None:
    http.answer({"ok": True, "result": {"chat": 5}})
    assert await ADAPTER.send(http, ACCOUNT, envelope(), ()) == Accepted(())


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("no recipient of ours", envelope(None, Address("messenger_user", "1", "2"))),
        ("a recipient that is no number", envelope(None, Address("telegram_user", "", "ann"))),
        ("a file that is not there", envelope(piece=Piece({"method": "sendPhoto", "params": {}, "files": ["photo"]}))),
        ("a payload of nobody's", envelope(piece=Piece({}))),
    ],
)
async def test_what_cannot_be_sent_makes_no_request(http: FakeHttp, label: str, message: Envelope) -> None:
    with pytest.raises(SendError) as refused:
        await ADAPTER.send(http, ACCOUNT, message, ())
    assert refused.value.fault.code == "parameter_invalid"
    assert refused.value.fault.ours
    assert http.requests == []


async def test_a_group_upgrade_names_the_new_chat(http: FakeHttp) -> None:
    body = error(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-1001234567890)
    http.answer(body, status=400)
    with pytest.raises(SendError) as refused:
        await ADAPTER.send(http, ACCOUNT, envelope(None, OLD_GROUP), ())
    fault = refused.value.fault
    assert (fault.moved_to, fault.retryable, fault.ends_contact) == ("-1001234567890", True, None)


@pytest.mark.parametrize(("recipient", "pauses"), [(USER, "channel"), (GROUP, "recipient")])
async def test_throttling_pauses_the_bot_or_only_the_group(http: FakeHttp, recipient: Address, pauses: str) -> None:
    http.answer(error(429, "Too Many Requests: retry after 5", retry_after=5), status=429)
    with pytest.raises(SendError) as refused:
        await ADAPTER.send(http, ACCOUNT, envelope(None, recipient), ())
    fault = refused.value.fault
    assert (fault.code, fault.retry_after, fault.pauses, fault.retryable) == ("rate_limited", 5.0, pauses, True)


async def test_a_transport_failure_passes_untouched(http: FakeHttp) -> None:
    http.fail(TimeoutError("late"))
    with pytest.raises(TimeoutError, match="late"):
        await ADAPTER.send(http, ACCOUNT, envelope(), ())


# --- Signs, taps, edits -----------------------------------------------------------------------------------------------


async def test_typing(http: FakeHttp) -> None:
    http.answer({"ok": True, "result": True})
    await ADAPTER.typing(http, ACCOUNT, (USER, BUSINESS), "c1:42:7")
    assert http.last.url == f"{API}/sendChatAction"
    assert http.last.json == {"chat_id": 42, "business_connection_id": "c1", "action": "typing"}


async def test_only_a_business_account_marks_as_read(http: FakeHttp) -> None:
    await ADAPTER.mark_read(http, ACCOUNT, (USER,), "42:7")
    await ADAPTER.mark_read(http, ACCOUNT, (USER,), "callback:4382")
    assert http.requests == []
    http.answer({"ok": True, "result": True})
    await ADAPTER.mark_read(http, ACCOUNT, (USER, BUSINESS), "c1:42:7")
    assert http.last.url == f"{API}/readBusinessMessage"
    assert http.last.json == {"chat_id": 42, "business_connection_id": "c1", "message_id": 7}


async def test_a_tap_is_answered_and_a_late_answer_is_no_error(http: FakeHttp) -> None:
    http.answer({"ok": True, "result": True})
    await ADAPTER.acknowledge(http, ACCOUNT, "4382")
    assert (http.last.url, http.last.json) == (f"{API}/answerCallbackQuery", {"callback_query_id": "4382"})
    late = "Bad Request: query is too old and response timeout expired or query ID is invalid"
    http.answer(error(400, late), status=400)
    await ADAPTER.acknowledge(http, ACCOUNT, "4382")
    http.answer(error(401, "Unauthorized"), status=401)
    with pytest.raises(SendError):
        await ADAPTER.acknowledge(http, ACCOUNT, "4382")


EDITS: list[tuple[str, OutboundPart, str, JsonObject]] = [
    (
        "words",
        OutboundText("New", (Entity("bold", 0, 3),), preview_links=False),
        "editMessageText",
        {
            "text": "New",
            "entities": [{"type": "bold", "offset": 0, "length": 3}],
            "link_preview_options": {"is_disabled": True},
        },
    ),
    (
        "words and buttons",
        OutboundChoices("buttons", "Pick", (ChoiceSection((Choice("Yes", "y"),)),)),
        "editMessageText",
        {"text": "Pick", "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}},
    ),
    (
        "buttons alone",
        OutboundChoices("buttons", "", (ChoiceSection((Choice("Yes", "y"),)),)),
        "editMessageReplyMarkup",
        {"reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}},
    ),
    (
        "the caption of the file that is there",
        OutboundMedia("voice", media_id="m1", caption="New"),
        "editMessageCaption",
        {"caption": "New"},
    ),
    ("no caption any more", OutboundMedia("image", media_id="m1"), "editMessageCaption", {}),
    (
        "another file",
        OutboundMedia("image", url="https://a.test/p", caption="New"),
        "editMessageMedia",
        {"media": {"type": "photo", "media": "https://a.test/p", "caption": "New"}},
    ),
]


@pytest.mark.parametrize(("label", "part", "method", "params"), EDITS, ids=[label for label, *_ in EDITS])
async def test_an_edit_becomes_the_call_that_fits(
    http: FakeHttp, label: str, part: OutboundPart, method: str, params: JsonObject
) -> None:
    http.answer(sent())
    await ADAPTER.edit(http, ACCOUNT, (USER,), "c1:42:7", [part])
    assert http.last.url == f"{API}/{method}"
    assert http.last.json == {**params, "chat_id": 42, "business_connection_id": "c1", "message_id": 7}
    http.answer(error(400, "Bad Request: message is not modified: …"), status=400)
    await ADAPTER.edit(http, ACCOUNT, (USER,), "42:7", [part])


async def test_words_for_a_file_become_its_caption(http: FakeHttp) -> None:
    """Whoever edits sees a message, not which of Telegram's calls made it."""
    http.answer(error(400, "Bad Request: there is no text in the message to edit"), status=400)
    http.answer(sent())
    await ADAPTER.edit(http, ACCOUNT, (USER,), "42:7", [OutboundText("New", (Entity("bold", 0, 3),))])
    entities: list[JsonValue] = [{"type": "bold", "offset": 0, "length": 3}]
    assert http.last.url == f"{API}/editMessageCaption"
    assert http.last.json == {"caption": "New", "caption_entities": entities, "chat_id": 42, "message_id": 7}
    http.answer(error(400, "Bad Request: there is no text in the message to edit"), status=400)
    with pytest.raises(SendError) as refused:
        await ADAPTER.edit(http, ACCOUNT, (USER,), "42:7", [OutboundText("x" * 1025)])
    assert refused.value.fault.code == "policy"


@pytest.mark.parametrize(
    ("label", "parts", "code", "limit"),
    [
        ("nothing", [], "not_offered", "edit"),
        ("two parts", [OutboundText("a"), OutboundText("b")], "not_offered", "edit"),
        ("a place", [OutboundLocation(1, 2)], "not_offered", "edit"),
        ("words for two messages", [OutboundText("x" * 5000)], "too_long", "text.maximum"),
        ("blank words", [OutboundText(" ")], "empty", "text.minimum"),
        (
            "a caption that would not fit", [OutboundMedia("image", media_id="m", caption="x" * 1025)],
            "too_long", "media.image.caption.maximum",
        ),
        (
            "a caption on a sticker", [OutboundMedia("sticker", media_id="m", caption="x")],
            "too_long", "media.sticker.caption",
        ),
        ("another sticker", [OutboundMedia("sticker", url="https://a.test/s")], "not_offered", "edit"),
        ("the sticker itself", [OutboundMedia("sticker", media_id="m")], "not_offered", "edit"),
        ("another voice message", [OutboundMedia("voice", url="https://a.test/v")], "not_offered", "edit"),
        (
            "quick replies", [OutboundChoices("quick_replies", "Pick", (ChoiceSection((Choice("Yes"),)),))],
            "not_offered", "edit",
        ),
    ],
)  # fmt: skip
async def test_an_edit_that_cannot_be_makes_no_request(
    http: FakeHttp, label: str, parts: list[OutboundPart], code: str, limit: str
) -> None:
    with pytest.raises(ContentRefused) as refused:
        await ADAPTER.edit(http, ACCOUNT, (USER,), "42:7", parts)
    assert (refused.value.code, refused.value.limit) == (code, limit)
    assert http.requests == []


async def test_a_throttled_edit_in_a_group_pauses_the_group(http: FakeHttp) -> None:
    http.answer(error(429, "Too Many Requests: retry after 5", retry_after=5), status=429)
    with pytest.raises(SendError) as refused:
        await ADAPTER.edit(http, ACCOUNT, (GROUP,), "-1001234567890:7", [OutboundText("x")])
    assert (refused.value.fault.pauses, refused.value.fault.retry_after) == ("recipient", 5.0)


async def test_a_delete_knows_both_kinds_of_chat(http: FakeHttp) -> None:
    http.answer({"ok": True, "result": True})
    await ADAPTER.delete(http, ACCOUNT, (USER,), "42:7")
    assert (http.last.url, http.last.json) == (f"{API}/deleteMessage", {"chat_id": 42, "message_id": 7})
    http.answer({"ok": True, "result": True})
    await ADAPTER.delete(http, ACCOUNT, (USER,), "c1:42:7")
    assert http.last.url == f"{API}/deleteBusinessMessages"
    assert http.last.json == {"business_connection_id": "c1", "message_ids": [7]}
    with pytest.raises(SendError):
        await ADAPTER.delete(http, ACCOUNT, (USER,), "callback:4382")


async def test_a_delete_tells_gone_from_refused(http: FakeHttp) -> None:
    http.answer(error(400, "Bad Request: message to delete not found"), status=400)
    await ADAPTER.delete(http, ACCOUNT, (USER,), "42:7")
    http.answer(error(400, "Bad Request: message can't be deleted for everyone"), status=400)
    with pytest.raises(SendError) as refused:
        await ADAPTER.delete(http, ACCOUNT, (USER,), "42:7")
    assert refused.value.fault.code == "policy"
    assert "48 hours" in refused.value.fault.reason
    assert ADAPTER.capabilities.delete_within_hours == 48


# --- Files, profiles, credentials -------------------------------------------------------------------------------------


@pytest.mark.parametrize("media", [MediaRef(id="f1"), MediaRef(url="telegram-file:f1")])
async def test_a_file_is_looked_up_and_streamed(http: FakeHttp, media: MediaRef) -> None:
    http.answer({"ok": True, "result": {"file_id": "f1", "file_path": "photos/file 1.jpg"}})
    http.answer(b"picture")
    async with ADAPTER.fetch(http, ACCOUNT, media) as stream:
        data = b"".join([chunk async for chunk in stream.chunks()])
    assert data == b"picture"
    assert (http.requests[0].url, http.requests[0].json) == (f"{API}/getFile", {"file_id": "f1"})
    assert http.last.url == f"https://api.telegram.org/file/bot{TOKEN}/photos/file%201.jpg"


@pytest.mark.parametrize(
    ("label", "answers", "code"),
    [
        ("too big", [(400, error(400, "Bad Request: file is too big"))], "media_refused"),
        ("no path", [(200, {"ok": True, "result": {}})], "not_found"),
        ("a path that leads out", [(200, {"ok": True, "result": {"file_path": "../bot/close"}})], "not_found"),
        ("a path of the server's own disk", [(200, {"ok": True, "result": {"file_path": "/etc/passwd"}})], "not_found"),
        ("a gone link", [(200, {"ok": True, "result": {"file_path": "a"}}), (404, {})], "not_found"),
        ("a busy server", [(200, {"ok": True, "result": {"file_path": "a"}}), (502, {})], "temporary"),
    ],
)
async def test_a_file_that_cannot_be_had(
    http: FakeHttp, label: str, answers: list[tuple[int, JsonObject]], code: str
) -> None:
    for status, body in answers:
        http.answer(body, status=status)
    with pytest.raises(FetchError) as refused:
        async with ADAPTER.fetch(http, ACCOUNT, MediaRef(id="f1")):
            pass
    assert refused.value.fault.code == code
    assert refused.value.fault.retryable is (code == "temporary")


async def test_a_link_that_is_not_telegrams_is_not_followed(http: FakeHttp) -> None:
    with pytest.raises(FetchError):
        async with ADAPTER.fetch(http, ACCOUNT, MediaRef(url="https://a.test/x")):
            pass


async def test_a_profile(http: FakeHttp) -> None:
    chat: JsonObject = {"id": 42, "type": "private", "first_name": "Ann", "last_name": "Lee", "username": "ann"}
    photo: JsonObject = {"small_file_id": "s1", "big_file_id": "b1"}
    http.answer({"ok": True, "result": {**chat, "photo": photo}})
    expected = Person((USER,), "Ann Lee", "Ann", "Lee", "ann", avatar_url="telegram-file:b1")
    assert await ADAPTER.profile(http, ACCOUNT, (USER,)) == expected
    assert (http.last.url, http.last.json) == (f"{API}/getChat", {"chat_id": 42})
    http.answer({"ok": True, "result": {"id": -1001234567890, "type": "supergroup", "title": "Support"}})
    assert await ADAPTER.profile(http, ACCOUNT, (GROUP,)) == Person((GROUP,), "Support", is_group=True)
    assert await ADAPTER.profile(http, ACCOUNT, ()) is None


async def test_a_check_tells_whose_the_token_is(http: FakeHttp) -> None:
    bot: JsonObject = {"id": 777, "is_bot": True, "first_name": "Helper", "username": "helper_bot"}
    http.answer({"ok": True, "result": {**bot, "can_join_groups": True, "can_connect_to_business": False}})
    options = {"username": "helper_bot", "can_join_groups": "true", "can_connect_to_business": "false"}
    assert await ADAPTER.check(http, ACCOUNT) == AccountFacts("777", "Helper", options)


@pytest.mark.parametrize(("status", "text"), [(401, "Unauthorized"), (404, "Not Found")])
async def test_a_check_refuses_a_wrong_token(http: FakeHttp, status: int, text: str) -> None:
    http.answer(error(status, text), status=status)
    with pytest.raises(FetchError) as refused:
        await ADAPTER.check(http, ACCOUNT)
    assert (refused.value.fault.code, refused.value.fault.reauthorise) == ("token_invalid", True)


Call = Callable[[FakeHttp], Awaitable[object]]


async def _fetch(http: FakeHttp) -> None:
    async with ADAPTER.fetch(http, ACCOUNT, MediaRef(id="f1")):
        pass


@pytest.mark.parametrize(
    ("label", "call"),
    [
        ("send", lambda http: ADAPTER.send(http, ACCOUNT, envelope(), ())),
        ("typing", lambda http: ADAPTER.typing(http, ACCOUNT, (USER,), None)),
        ("acknowledge", lambda http: ADAPTER.acknowledge(http, ACCOUNT, "1")),
        ("edit", lambda http: ADAPTER.edit(http, ACCOUNT, (USER,), "42:7", [OutboundText("x")])),
        ("profile", lambda http: ADAPTER.profile(http, ACCOUNT, (USER,))),
        ("check", lambda http: ADAPTER.check(http, ACCOUNT)),
        ("fetch", _fetch),
    ],
)
@pytest.mark.parametrize("status", [400, 418, 500])
async def test_no_error_carries_the_token(http: FakeHttp, label: str, call: Call, status: int) -> None:
    http.answer(error(status, f"Bad Request: strange {API}/sendMessage"), status=status)
    with pytest.raises((SendError, FetchError)) as refused:
        await call(http)
    told = str(refused.value) + repr(vars(refused.value))
    assert TOKEN not in told
    assert TOKEN not in "".join(traceback.format_exception_only(refused.value))
