"""The simulator over real sockets, judged by a receiver that checks signatures with code of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from simulator_stage import BOT, BOT_TOKEN, SECRET, Receiver, Stage, open_stage, wrote

from channels.simulator.client import SimulatorError
from channels.simulator.server import SimulatorServer


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(seed=7, retry_scale=0.01) as server:
        yield server


@pytest.fixture
async def stage(simulator: SimulatorServer) -> AsyncIterator[Stage]:
    async with open_stage(simulator) as opened:
        yield opened


# --- In ---------------------------------------------------------------------------------------------------------------


async def test_meta_bodies_are_signed_as_sent_and_escape_non_ascii(stage: Stage) -> None:
    await stage.control.say("111", {"id": "15551230001", "name": "Änn"}, "Hällo / ok")
    await stage.receiver.until(1)
    assert b"H\\u00e4llo \\/ ok" in stage.receiver.raw[0]
    assert stage.receiver.refused == 0
    body = stage.receiver.bodies[0]
    assert (body["object"], body["entry"][0]["id"]) == ("whatsapp_business_account", "999")
    value = body["entry"][0]["changes"][0]["value"]
    assert value["metadata"]["phone_number_id"] == "111"
    assert value["contacts"][0]["wa_id"] == value["messages"][0]["from"] == "15551230001"
    assert value["contacts"][0]["user_id"].startswith("US.")
    assert value["messages"][0]["text"] == {"body": "Hällo / ok"}
    assert isinstance(value["messages"][0]["timestamp"], str)


async def test_username_adopters_come_without_a_phone(stage: Stage) -> None:
    customer: dict[str, Any] = {"phone": "15551230002", "bsuid": "US.77", "username": "ann.b", "hide_phone": True}
    await stage.control.say("111", customer, "hi")
    await stage.receiver.until(1)
    value = stage.receiver.items()[0]
    assert "from" not in value["messages"][0]
    assert value["messages"][0]["from_user_id"] == "US.77"
    assert value["contacts"][0] == {"profile": {"name": "Ann Example", "username": "ann.b"}, "user_id": "US.77"}
    status, answer = await stage.whatsapp(recipient="US.77", type="text", text={"body": "yo"})
    assert (status, answer["contacts"]) == (200, [{"input": "US.77", "user_id": "US.77"}])


@pytest.mark.parametrize(("account_id", "kind"), [("222", "page"), ("333", "instagram")])
async def test_page_customers_write_in_milliseconds(stage: Stage, account_id: str, kind: str) -> None:
    said = await stage.control.say(account_id, {"id": "9001"}, "hi")
    await stage.receiver.until(1)
    body = stage.receiver.bodies[0]
    item = body["entry"][0]["messaging"][0]
    assert (body["object"], body["entry"][0]["id"]) == (kind, account_id)
    assert (item["sender"]["id"], item["recipient"]["id"]) == ("9001", account_id)
    assert item["message"] == {"mid": said["id"], "text": "hi"}
    assert item["timestamp"] > 10**12


async def test_telegram_updates_rise_and_ids_belong_to_the_chat(stage: Stage) -> None:
    for text in ("one", "two"):
        await stage.control.say(BOT, {"id": "42", "name": "Ann Bo"}, text)
    await stage.receiver.until(2)
    first, second = stage.receiver.bodies
    assert second["update_id"] == first["update_id"] + 1
    assert second["message"]["message_id"] == first["message"]["message_id"] + 1
    assert first["message"]["from"]["first_name"] == "Ann"
    assert first["message"]["chat"] == {"id": 42, "type": "private", "first_name": "Ann", "last_name": "Bo"}


ACTS = {
    "111": "text image video audio voice document sticker location contact reaction unreact edit unsend button "
    "list_reply order number_changed referral unsupported opt_out opt_in",
    "222": "text image video voice document sticker location share reaction unreact edit button quick_reply postback "
    "start referral opt_out unsupported",
    "333": "text image video voice document share like_heart ephemeral story_reply story_mention reaction unreact edit "
    "unsend button postback referral unsupported",
    BOT: "text start image video audio voice document sticker animation video_note location contact reaction unreact "
    "edit callback block unblock unsupported",
}


@pytest.mark.parametrize(("account_id", "kind"), [(each, kind) for each in ACTS for kind in ACTS[each].split()])
async def test_every_act_is_told(stage: Stage, account_id: str, kind: str) -> None:
    target = await wrote(stage, account_id, "5551230001")
    await stage.control.say(
        account_id, {"id": "5551230001"}, "new", kind=kind, message_id=target, payload="15557654321", title="Yes"
    )
    await stage.receiver.until(1)
    assert len(stage.receiver.items()) == 1
    assert stage.receiver.refused == 0


async def test_acts_a_channel_does_not_have_are_refused(stage: Stage) -> None:
    with pytest.raises(SimulatorError, match="WhatsApp customers cannot do story_reply") as refused:
        await stage.control.say("111", {"id": "1"}, "x", kind="story_reply")
    assert refused.value.status == 400
    with pytest.raises(SimulatorError, match="no account 12"):
        await stage.control.say("12", {"id": "1"}, "x")
    with pytest.raises(SimulatorError, match="Extra inputs"):
        await stage.control.say("111", {"id": "1"}, "x", texd="y")


async def test_a_refused_handshake_fails_the_registration(stage: Stage) -> None:
    with pytest.raises(SimulatorError, match="handshake refused: the callback answered 403"):
        await stage.control.register(
            "whatsapp", "112", "t", webhook_url=stage.receiver.url + "/meta", verify_token="wrong", verify=True
        )


# --- Out --------------------------------------------------------------------------------------------------------------


async def test_whatsapp_send_and_its_three_receipts(stage: Stage) -> None:
    await wrote(stage, "111", "15551230001")
    status, answer = await stage.whatsapp(
        to="+1 555 123-0001", type="text", text={"body": "hi"}, biz_opaque_callback_data="m-42"
    )
    assert status == 200
    wamid = answer["messages"][0]["id"]
    assert answer["contacts"][0]["wa_id"] == "15551230001"
    await stage.receiver.until(3)
    statuses = stage.receiver.statuses()
    assert [each["status"] for each in statuses] == ["sent", "delivered", "read"]
    assert {each["id"] for each in statuses} == {wamid}
    assert {each["biz_opaque_callback_data"] for each in statuses} == {"m-42"}
    assert [("pricing" in each) for each in statuses] == [True, True, False]
    (seen,) = await stage.control.inbox("111", "15551230001")
    assert (seen["text"], seen["correlation"], seen["status"]) == ("hi", "m-42", "read")


@pytest.mark.parametrize(
    ("order", "expected"),
    [("reversed", ["read", "delivered", "sent"]), ("read_first", ["read", "sent", "delivered"])],
)
async def test_receipts_in_another_order(stage: Stage, order: str, expected: list[str]) -> None:
    await stage.control.receipts("111", order=order, delivered_after=0.01, read_after=0.02)
    await wrote(stage, "111", "15551230001")
    await stage.whatsapp(to="15551230001", text={"body": "hi"})
    await stage.receiver.until(3)
    assert [each["status"] for each in stage.receiver.statuses()] == expected


async def test_messenger_echo_delivery_and_watermark(stage: Stage) -> None:
    await wrote(stage, "222", "9001")
    status, answer = await stage.page(
        "222", recipient={"id": "9001"}, messaging_type="RESPONSE", message={"text": "hi", "metadata": "m-1"}
    )
    assert (status, answer["recipient_id"]) == (200, "9001")
    await stage.receiver.until(3)
    echo, delivery, read = stage.receiver.items()
    assert (echo["sender"]["id"], echo["recipient"]["id"]) == ("222", "9001")
    assert echo["message"] == {
        "mid": answer["message_id"], "is_echo": True, "app_id": 77, "text": "hi", "metadata": "m-1",
    }  # fmt: skip
    assert delivery["delivery"]["mids"] == [answer["message_id"]]
    assert set(read["read"]) == {"watermark"}
    assert read["read"]["watermark"] >= echo["timestamp"]


async def test_instagram_echo_has_no_metadata_and_reads_name_the_mid(stage: Stage) -> None:
    await wrote(stage, "333", "9001")
    _, answer = await stage.page("333", recipient={"id": "9001"}, message={"text": "hi", "metadata": "m-1"})
    await stage.receiver.until(2)
    echo, read = stage.receiver.items()
    assert echo["message"] == {"mid": answer["message_id"], "is_echo": True, "text": "hi"}
    assert read["read"] == {"mid": answer["message_id"]}


async def test_telegram_send_edit_react_delete(stage: Stage) -> None:
    theirs = await wrote(stage, BOT, "42")
    status, answer = await stage.bot(
        "sendMessage", chat_id=42, text="<b>hi</b> 🙂 &amp; <i>bye</i>", parse_mode="HTML",
        reply_parameters={"message_id": int(theirs)},
    )  # fmt: skip
    sent = answer["result"]
    assert (status, sent["text"]) == (200, "hi 🙂 & bye")
    assert sent["entities"] == [
        {"type": "bold", "offset": 0, "length": 2}, {"type": "italic", "offset": 8, "length": 3},
    ]  # fmt: skip
    assert sent["reply_to_message"]["message_id"] == int(theirs)
    number = sent["message_id"]
    same = await stage.bot("editMessageText", chat_id=42, message_id=number, text="new")
    assert same[1]["result"]["text"] == "new"
    assert (
        "message is not modified"
        in ((await stage.bot("editMessageText", chat_id=42, message_id=number, text="new"))[1]["description"])
    )
    heart = [{"type": "emoji", "emoji": "❤"}]
    assert (await stage.bot("setMessageReaction", chat_id=42, message_id=int(theirs), reaction=heart))[0] == 200
    assert (await stage.bot("deleteMessage", chat_id=42, message_id=number))[1] == {"ok": True, "result": True}
    (seen,) = await stage.control.inbox(BOT, "42")
    assert (seen["text"], seen["deleted"], seen["edits"]) == ("new", True, 1)


async def test_native_replies_come_as_echoes(stage: Stage) -> None:
    for account_id in ("111", "222", "333"):
        await wrote(stage, account_id, "15551230001")
        said = await stage.control.native(account_id, {"id": "15551230001"}, "from the phone")
        await stage.receiver.until(1)
        item = stage.receiver.items()[0]
        echo = item["message_echoes"][0] if account_id == "111" else item["message"]
        assert said["id"] in (echo.get("id"), echo.get("mid"))
        assert echo["app_id"] == 26390203743090 if account_id == "222" else "app_id" not in echo
    with pytest.raises(SimulatorError, match="no app of its own"):
        await stage.control.native(BOT, {"id": "42"}, "x")


# --- Refusals ---------------------------------------------------------------------------------------------------------

Code = tuple[int, int, int | None]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"to": "15551230001", "type": "text"}, (400, 131008, None)),
        ({"type": "text", "text": {"body": "x"}}, (400, 131008, None)),
        ({"to": "15551230001", "text": {"body": "x" * 4097}}, (400, 100, None)),
        ({"to": "15551230001", "type": "poem", "poem": {}}, (400, 100, None)),
        ({"to": "nobody", "text": {"body": "x"}}, (400, 131009, None)),
        ({"to": "15550000001", "text": {"body": "x"}}, (400, 131021, None)),
        ({"to": "15551230001", "type": "image", "image": {}}, (400, 100, None)),
        ({"to": "15551230001", "type": "image", "image": {"id": "404"}}, (400, 100, None)),
        ({"to": "15551230001", "type": "reaction", "reaction": {"message_id": "wamid.x", "emoji": "👍"}},
         (400, 131009, None)),
        ({"to": "15551230001", "text": {"body": "x"}, "biz_opaque_callback_data": "x" * 513}, (400, 100, None)),
        ({"to": "15551230001", "type": "template", "template": {"name": "no", "language": {"code": "de"}}},
         (404, 132001, None)),
        ({"to": "15551230001", "type": "template", "template": {"name": "order_update", "language": {"code": "de"}}},
         (400, 132000, None)),
        ({"to": "15551230001", "type": "template",
          "template": {"name": "paused_offer", "language": {"code": "en_US"}}}, (400, 132015, None)),
        ({"to": "15551230001", "type": "interactive", "interactive": {
            "type": "button", "body": {"text": "?"},
            "action": {"buttons": [{"type": "reply", "reply": {"id": str(n), "title": str(n)}} for n in range(4)]}}},
         (400, 131009, None)),
        ({"status": "read", "message_id": "wamid.unknown"}, (400, 131009, None)),
    ],
)  # fmt: skip
async def test_whatsapp_refusals(stage: Stage, fields: dict[str, Any], expected: Code) -> None:
    await wrote(stage, "111", "15551230001")
    status, answer = await stage.whatsapp(**fields)
    error = answer["error"]
    assert (status, error["code"], error.get("error_subcode")) == expected
    assert await stage.control.inbox("111", "15551230001") == []


@pytest.mark.parametrize(
    ("account_id", "fields", "expected"),
    [
        ("222", {"message": {"text": "x"}}, (400, 100, None)),
        ("222", {"recipient": {"id": "1"}, "message": {"text": "x"}}, (400, 100, 2018001)),
        ("333", {"recipient": {"id": "1"}, "message": {"text": "x"}}, (400, 100, 2534014)),
        ("222", {"recipient": {"id": "9001"}, "message": {"text": "x" * 2001}}, (400, 100, None)),
        ("333", {"recipient": {"id": "9001"}, "message": {"text": "ä" * 501}}, (400, 100, None)),
        ("222", {"recipient": {"id": "9001"}, "message": {}}, (400, 100, None)),
        ("222", {"recipient": {"id": "9001"}, "messaging_type": "MESSAGE_TAG", "tag": "ACCOUNT_UPDATE",
                 "message": {"text": "x"}}, (400, 100, None)),
        ("222", {"recipient": {"id": "9001"}, "message": {"attachment": {
            "type": "image", "payload": {"url": "http://127.0.0.1:9/none.png"}}}}, (400, 100, 2018008)),
        ("222", {"recipient": {"id": "9001"}, "sender_action": "typing_on", "message": {"text": "x"}},
         (400, 100, None)),
    ],
)  # fmt: skip
async def test_page_refusals(stage: Stage, account_id: str, fields: dict[str, Any], expected: Code) -> None:
    await wrote(stage, account_id, "9001")
    status, answer = await stage.page(account_id, **fields)
    error = answer["error"]
    assert (status, error["code"], error.get("error_subcode")) == expected


@pytest.mark.parametrize(
    ("method", "fields", "code", "description"),
    [
        ("sendMessage", {"text": "x"}, 400, "Bad Request: chat_id is empty"),
        ("sendMessage", {"chat_id": 1, "text": "x"}, 400, "Bad Request: chat not found"),
        ("sendMessage", {"chat_id": 42, "text": " "}, 400, "Bad Request: message text is empty"),
        ("sendMessage", {"chat_id": 42, "text": "🙂" * 2049}, 400, "Bad Request: message is too long"),
        ("sendMessage", {"chat_id": 42, "text": "<b>x", "parse_mode": "HTML"}, 400,
         "Bad Request: can't parse entities"),
        ("sendMessage", {"chat_id": 42, "text": "x", "reply_parameters": {"message_id": 1}}, 400,
         "Bad Request: message to be replied not found"),
        ("sendMessage", {"chat_id": 42, "text": "x", "reply_markup": {"inline_keyboard": [[
            {"text": "t", "callback_data": "ä" * 33}]]}}, 400, "Bad Request: BUTTON_DATA_INVALID"),
        ("sendPhoto", {"chat_id": 42, "photo": "nothing"}, 400, "Bad Request: wrong file identifier"),
        ("sendPhoto", {"chat_id": 42, "photo": "http://127.0.0.1:9/x.png"}, 400,
         "Bad Request: failed to get HTTP URL content"),
        ("setMessageReaction", {"chat_id": 42, "message_id": 1, "reaction": []}, 400,
         "Bad Request: message to react not found"),
        ("getUpdates", {}, 409, "Conflict: "),
        ("sendPoem", {"chat_id": 42}, 404, "Not Found"),
    ],
)  # fmt: skip
async def test_telegram_refusals(
    stage: Stage, method: str, fields: dict[str, Any], code: int, description: str
) -> None:
    await wrote(stage, BOT, "42")
    status, answer = await stage.bot(method, **fields)
    assert (status, answer["ok"], answer["error_code"]) == (code, False, code)
    assert answer["description"].startswith(description)


async def test_tokens_are_checked(stage: Stage) -> None:
    status, answer = await stage.graph("POST", "111/messages", "stolen", {})
    assert (status, answer["error"]["code"], answer["error"]["type"]) == (401, 190, "OAuthException")
    status, answer = await stage.graph("POST", "222/messages", "wa-token", {})
    assert (status, answer["error"]["code"], answer["error"]["error_subcode"]) == (400, 100, 33)
    for token, expected in (("4242:AAAA-another-token", 401), ("nonsense", 404)):
        async with stage.http.get(f"{stage.server.telegram_url}/bot{token}/getMe") as answered:
            assert answered.status == expected


async def test_closed_windows(stage: Stage) -> None:
    for account_id in ("111", "222", "333"):
        await wrote(stage, account_id, "15551230001")
        await stage.control.customer(account_id, {"id": "15551230001"}, wrote_hours_ago=25)
    status, _ = await stage.whatsapp(to="15551230001", text={"body": "late"}, biz_opaque_callback_data="m-9")
    assert status == 200
    await stage.receiver.until(1)
    (failed,) = stage.receiver.statuses()
    assert (failed["status"], failed["errors"][0]["code"]) == ("failed", 131047)
    assert failed["biz_opaque_callback_data"] == "m-9"
    template = {"name": "hello_world", "language": {"code": "en_US"}}
    await stage.whatsapp(to="15551230001", type="template", template=template)
    await stage.receiver.until(4)
    assert [each["status"] for each in stage.receiver.statuses()[1:]] == ["sent", "delivered", "read"]
    for account_id, subcode in (("222", 2018278), ("333", 2534022)):
        fields = {"recipient": {"id": "15551230001"}, "message": {"text": "x"}}
        _, answer = await stage.page(account_id, **fields)
        assert (answer["error"]["code"], answer["error"]["error_subcode"]) == (10, subcode)
        status, _ = await stage.page(account_id, **fields, messaging_type="MESSAGE_TAG", tag="HUMAN_AGENT")
        assert status == 200


async def test_people_who_cannot_be_reached(stage: Stage) -> None:
    for account_id in ("111", "222", BOT):
        await wrote(stage, account_id, "15551230001")
        await stage.control.say(account_id, {"id": "15551230001"}, kind="block")
    assert await stage.control.flush()
    stage.receiver.bodies.clear()
    await stage.whatsapp(to="15551230001", text={"body": "x"})
    await stage.receiver.until(1)
    assert stage.receiver.statuses()[0]["errors"][0]["code"] == 131026
    _, answer = await stage.page("222", recipient={"id": "15551230001"}, message={"text": "x"})
    assert answer["error"]["code"] == 551
    status, answer = await stage.bot("sendMessage", chat_id=15551230001, text="x")
    assert (status, answer["description"]) == (403, "Forbidden: bot was blocked by the user")
    await stage.control.customer(BOT, {"id": "77"}, started=False)
    status, answer = await stage.bot("sendMessage", chat_id=77, text="x")
    assert (status, answer["description"]) == (403, "Forbidden: bot can't initiate conversation with a user")


# --- Media and look-ups -----------------------------------------------------------------------------------------------


async def test_whatsapp_media_both_ways(stage: Stage) -> None:
    await stage.control.say("111", {"id": "15551230001"}, "look", kind="image")
    await stage.receiver.until(1)
    image = stage.receiver.items()[0]["messages"][0]["image"]
    status, about = await stage.graph("GET", f"{image['id']}?phone_number_id=111", "wa-token")
    assert (status, about["mime_type"]) == (200, "image/png")
    async with stage.http.get(about["url"]) as answer:
        assert answer.status == 401
    async with stage.http.get(about["url"], headers={"Authorization": "Bearer wa-token"}) as answer:
        data = await answer.read()
    assert data.startswith(b"\x89PNG")
    assert hashlib.sha256(data).hexdigest() == about["sha256"]
    expired = about["url"].replace(about["url"].split("/")[-2], "1000")
    async with stage.http.get(expired, headers={"Authorization": "Bearer wa-token"}) as answer:
        assert answer.status == 404
    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "image/png"})
    form.add_field("file", data, filename="a.png", content_type="image/png")
    status, uploaded = await stage.graph("POST", "111/media", "wa-token", None, data=form)
    assert status == 200
    sent = await stage.whatsapp(to="15551230001", type="image", image={"id": uploaded["id"], "caption": "c"})
    assert sent[0] == 200


async def test_a_link_that_cannot_be_fetched_fails_later(stage: Stage) -> None:
    await wrote(stage, "111", "15551230001")
    status, _ = await stage.whatsapp(to="15551230001", type="image", image={"link": "http://127.0.0.1:9/x.png"})
    assert status == 200
    await stage.receiver.until(1)
    assert stage.receiver.statuses()[0]["errors"][0]["code"] == 131053


async def test_page_attachments_and_profile(stage: Stage) -> None:
    await stage.control.say("222", {"id": "9001", "name": "Ann Baker"}, kind="document")
    await stage.receiver.until(1)
    attachment = stage.receiver.items()[0]["message"]["attachments"][0]
    assert attachment["type"] == "file"
    async with stage.http.get(attachment["payload"]["url"]) as answer:
        assert (await answer.read()).startswith(b"%PDF")
    _, profile = await stage.graph("GET", "9001?fields=first_name,last_name,profile_pic", "page-token")
    assert (profile["first_name"], profile["last_name"], profile["id"]) == ("Ann", "Baker", "9001")
    form = aiohttp.FormData({
        "recipient": '{"id":"9001"}', "message": '{"attachment":{"type":"image","payload":{"is_reusable":true}}}',
    })  # fmt: skip
    form.add_field("filedata", b"\x89PNG", filename="a.png", content_type="image/png")
    status, sent = await stage.graph("POST", "222/messages", "page-token", None, data=form)
    assert status == 200
    assert "attachment_id" in sent


async def test_telegram_files(stage: Stage) -> None:
    await stage.control.say(BOT, {"id": "42"}, "look", kind="image")
    await stage.receiver.until(1)
    largest = stage.receiver.bodies[0]["message"]["photo"][-1]
    _, file = await stage.bot("getFile", file_id=largest["file_id"])
    url = f"{stage.server.telegram_url}/file/bot{BOT_TOKEN}/{file['result']['file_path']}"
    async with stage.http.get(url) as answer:
        assert (await answer.read()).startswith(b"\x89PNG")
    form = aiohttp.FormData({"chat_id": "42", "caption": "hi"})
    form.add_field("document", b"abc", filename="a.txt", content_type="text/plain")
    async with stage.http.post(f"{stage.server.telegram_url}/bot{BOT_TOKEN}/sendDocument", data=form) as answer:
        sent = (await answer.json())["result"]
    assert (sent["document"]["file_name"], sent["caption"]) == ("a.txt", "hi")
    again = await stage.bot("sendDocument", chat_id=42, document=sent["document"]["file_id"])
    assert again[0] == 200


async def test_whatsapp_templates_are_paged(stage: Stage) -> None:
    _, first = await stage.graph("GET", "999/message_templates?limit=8", "wa-token")
    assert len(first["data"]) == 8
    async with stage.http.get(first["paging"]["next"], headers={"Authorization": "Bearer wa-token"}) as answer:
        second = await answer.json()
    assert "next" not in second["paging"]
    assert {each["name"] for each in second["data"]}.isdisjoint({"hello_world"})


# --- Faults -----------------------------------------------------------------------------------------------------------


async def test_failed_webhooks_are_delivered_again_in_order(stage: Stage) -> None:
    stage.receiver.answers = [500, 503, 500]
    for text in ("one", "two"):
        await stage.control.say("111", {"id": "15551230001"}, text)
    await stage.receiver.until(2)
    assert [item["messages"][0]["text"]["body"] for item in stage.receiver.items()] == ["one", "two"]
    posts: Any = (await stage.control.outbox("111"))["posts"]
    assert [post["attempts"] for post in posts] == [["500", "503", "500", "200"], ["200"]]


async def test_down_holds_webhooks_and_up_delivers_them_with_some_again(stage: Stage) -> None:
    await stage.control.say("111", {"id": "15551230001"}, "before")
    await stage.receiver.until(1)
    await stage.control.fault("webhooks", "down")
    await stage.control.say("111", {"id": "15551230001"}, "during")
    await stage.control.say(BOT, {"id": "42"}, "during")
    await asyncio.sleep(0.05)
    assert len(stage.receiver.bodies) == 1
    assert (await stage.control.health())["pending"] == 2
    await stage.control.fault("webhooks", "up", redeliver=1)
    await stage.receiver.until(4)
    assert stage.receiver.raw.count(stage.receiver.raw[0]) == 2
    assert await stage.control.flush()


async def test_a_refused_connection_is_tried_again(stage: Stage) -> None:
    await stage.control.register("whatsapp", "115", "t", app_secret=SECRET, webhook_url="http://127.0.0.1:9/meta")
    await stage.control.say("115", {"id": "15551230009"}, "hi")
    await asyncio.sleep(0.05)
    await stage.control.register("whatsapp", "115", "t", app_secret=SECRET, webhook_url=stage.receiver.url + "/meta")
    assert await stage.control.flush()
    posts: Any = (await stage.control.outbox("115"))["posts"]
    (post,) = posts
    assert post["attempts"][0] == "ClientConnectorError"
    assert post["attempts"][-1] == "200"


Check = Callable[[Receiver], bool]


@pytest.mark.parametrize(
    ("fault", "posts", "check"),
    [
        ({"kind": "duplicate", "count": 1}, 7, lambda got: got.raw[0] == got.raw[1]),
        ({"kind": "batch", "size": 3}, 2, lambda got: [len(body["entry"]) for body in got.bodies] == [3, 3]),
        ({"kind": "reorder", "size": 6}, 6, lambda got: texts(got) != sorted(texts(got))),
        ({"kind": "drop", "count": 2}, 4, lambda got: texts(got) == ["2", "3", "4", "5"]),
        ({"kind": "delay", "seconds": 0.05}, 6, lambda got: texts(got) == ["0", "1", "2", "3", "4", "5"]),
        ({"kind": "bad_signature", "count": 1}, 6, lambda got: got.refused > 0),
    ],
)
async def test_webhook_faults(stage: Stage, fault: dict[str, Any], posts: int, check: Check) -> None:
    await stage.control.fault("webhooks", **fault)
    wishes: list[Any] = [{"account_id": "111", "customer": {"id": "15551230001"}, "text": str(n)} for n in range(6)]
    said = await stage.control.say_many(wishes)
    assert len({each["id"] for each in said}) == 6
    if fault["kind"] == "bad_signature":
        async with asyncio.timeout(5):
            while not stage.receiver.refused:
                await asyncio.sleep(0.005)
        assert stage.receiver.bodies == []
        return
    await stage.receiver.until(posts)
    assert await stage.control.flush()
    assert len(stage.receiver.bodies) == posts
    assert check(stage.receiver)


def texts(receiver: Receiver) -> list[str]:
    return [item["messages"][0]["text"]["body"] for item in receiver.items()]


async def test_receipts_can_be_lost(stage: Stage) -> None:
    await wrote(stage, "111", "15551230001")
    await stage.control.fault("webhooks", "drop_receipts", count=2)
    await stage.whatsapp(to="15551230001", text={"body": "x"})
    await stage.receiver.until(1)
    assert [each["status"] for each in stage.receiver.statuses()] == ["read"]


async def test_throttling_speaks_each_providers_language(stage: Stage) -> None:
    for account_id in ("111", "222", "333", BOT):
        await wrote(stage, account_id, "15551230001")
    await stage.control.fault("api", "throttle", count=4, retry_after=90)
    headers = {"Authorization": "Bearer wa-token"}
    body = {"messaging_product": "whatsapp", "to": "15551230001", "text": {"body": "x"}}
    async with stage.http.post(f"{stage.server.graph_url}/v26.0/111/messages", json=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, 130429)
        usage = json.loads(answer.headers["X-Business-Use-Case-Usage"])
    assert usage["999"][0]["estimated_time_to_regain_access"] == 2
    for account_id, subcode in (("222", None), ("333", 2534040)):
        _, refused = await stage.page(account_id, recipient={"id": "15551230001"}, message={"text": "x"})
        assert (refused["error"]["code"], refused["error"].get("error_subcode")) == (613, subcode)
    status, refused = await stage.bot("sendMessage", chat_id=15551230001, text="x")
    assert (status, refused["parameters"], refused["description"]) == (
        429, {"retry_after": 90}, "Too Many Requests: retry after 90",
    )  # fmt: skip
    assert (await stage.bot("sendMessage", chat_id=15551230001, text="x"))[0] == 200


async def test_a_time_out_after_acceptance_has_happened_once(stage: Stage) -> None:
    await wrote(stage, "111", "15551230001")
    await stage.control.fault("api", "timeout_after_accept", count=1, seconds=30)
    body = {
        "messaging_product": "whatsapp",
        "to": "15551230001",
        "text": {"body": "x"},
        "biz_opaque_callback_data": "m",
    }
    with pytest.raises(TimeoutError):
        await stage.graph("POST", "111/messages", "wa-token", body, timeout=aiohttp.ClientTimeout(total=0.2))
    await stage.receiver.until(3)
    assert {each["biz_opaque_callback_data"] for each in stage.receiver.statuses()} == {"m"}
    assert len(await stage.control.inbox("111", "15551230001")) == 1
    await stage.control.fault("api", "timeout_after_accept", count=1, seconds=0)
    async with stage.http.post(
        f"{stage.server.graph_url}/v26.0/111/messages", json=body, headers={"Authorization": "Bearer wa-token"}
    ) as answer:
        assert answer.status == 504
    assert len(await stage.control.inbox("111", "15551230001")) == 2


async def test_failures_at_once_and_later(stage: Stage) -> None:
    await wrote(stage, "111", "15551230001")
    await stage.control.fault("api", "fail", count=1, code=190, account_id="111")
    status, answer = await stage.whatsapp(to="15551230001", text={"body": "x"})
    assert (status, answer["error"]["code"]) == (401, 190)
    await stage.control.fault("api", "fail_later", count=1, code=131049)
    assert (await stage.whatsapp(to="15551230001", text={"body": "x"}))[0] == 200
    await stage.receiver.until(1)
    assert stage.receiver.statuses()[0]["errors"][0]["code"] == 131049
    await stage.control.fault("api", "down")
    status, answer = await stage.whatsapp(to="15551230001", text={"body": "x"})
    assert (status, answer["error"]["is_transient"]) == (503, True)
    assert (await stage.bot("getMe"))[0] == 502
    await stage.control.clear_faults()
    assert (await stage.bot("getMe"))[0] == 200
    with pytest.raises(SimulatorError, match="throttle is no fault of webhooks"):
        await stage.control.fault("webhooks", "throttle")


async def test_a_rate_of_its_own_throttles_an_account(stage: Stage) -> None:
    await stage.control.register("telegram", "5", "5:token-token-token", options={"messages_per_second": 3})
    await stage.control.say("5", {"id": "42"}, "hi")
    url = f"{stage.server.telegram_url}/bot5:token-token-token/sendMessage"
    statuses = []
    for _ in range(5):
        async with stage.http.post(url, json={"chat_id": 42, "text": "x"}) as answer:
            statuses.append(answer.status)
    assert statuses == [200, 200, 200, 429, 429]


# --- Around -----------------------------------------------------------------------------------------------------------


async def test_a_bot_without_webhook_polls(stage: Stage) -> None:
    await stage.control.register("telegram", "5", "5:token-token-token")
    await stage.control.say("5", {"id": "42"}, "hi")
    url = f"{stage.server.telegram_url}/bot5:token-token-token"
    async with stage.http.get(f"{url}/getUpdates") as answer:
        (update,) = (await answer.json())["result"]
    assert update["message"]["text"] == "hi"
    hook = {"url": stage.receiver.url + "/telegram", "secret_token": "hook-secret"}
    async with stage.http.post(f"{url}/setWebhook", json=hook) as answer:
        assert (await answer.json())["result"] is True
    await stage.receiver.until(1)
    assert stage.receiver.bodies[0] == update
    await stage.control.say("5", {"id": "42"}, kind="reaction", message_id=str(update["message"]["message_id"]))
    await stage.control.say("5", {"id": "42"}, "bye")
    await stage.receiver.until(2)
    assert "message" in stage.receiver.bodies[1]  # reactions are left out unless they were asked for


async def test_reading_by_hand(stage: Stage) -> None:
    await stage.control.receipts(auto=False)
    await wrote(stage, "111", "15551230001")
    await stage.whatsapp(to="15551230001", text={"body": "x"})
    assert stage.receiver.bodies == []
    read = await stage.control.read("111", {"id": "15551230001"})
    await stage.receiver.until(1)
    assert [each["id"] for each in stage.receiver.statuses()] == read["read"]


async def test_what_the_business_asked_is_listed_without_tokens(stage: Stage) -> None:
    theirs = await wrote(stage, "111", "15551230001")
    await stage.whatsapp(status="read", message_id=theirs, typing_indicator={"type": "text"})
    await stage.bot("getMe")
    listed = await stage.control.requests()
    assert [(each["path"], each["status"]) for each in listed] == [("/111/messages", 200), ("/bot/getMe", 200)]
    assert "token" not in json.dumps(listed).replace("verify_token", "")
    (theirs_now,) = await stage.control.inbox("111", "15551230001", everything=True)
    assert theirs_now["status"] == "read"


async def test_chatter_talks_and_answers(stage: Stage) -> None:
    await stage.control.chatter(["111", BOT], per_minute=3000, customers=4)
    await stage.receiver.until(6)
    assert (await stage.control.chatter(per_minute=0))["running"] is False
    assert all(each["customers"] for each in await stage.control.accounts() if each["account_id"] in ("111", BOT))


async def test_page_and_instagram_share_a_token(stage: Stage) -> None:
    hook: dict[str, Any] = {"app_secret": SECRET, "webhook_url": stage.receiver.url + "/meta"}
    await stage.control.register(
        "instagram", "334", "page-token", options={"stack": "page", "page_id": "222", "edit_trap": True}, **hook
    )
    await wrote(stage, "222", "9001")
    await stage.control.say("334", {"id": "9002"}, "hi")
    await stage.receiver.until(2)
    trap, message = stage.receiver.items()
    assert trap["message_edit"] == {"mid": message["message"]["mid"], "num_edit": 0}
    assert "sender" not in trap
    for person, account_id in (("9001", "222"), ("9002", "334")):
        status, _ = await stage.page("222", recipient={"id": person}, message={"text": person})
        assert status == 200
        assert [each["text"] for each in await stage.control.inbox(account_id, person)] == [person]


async def test_reset_forgets_everything(stage: Stage) -> None:
    stage.receiver.answers = [500] * 1000
    await stage.control.say("111", {"id": "15551230001"}, "never arrives")
    await stage.control.fault("webhooks", "down")
    await stage.control.reset()
    health = await stage.control.health()
    assert health == {"status": "ok", "accounts": 0, "pending": 0, "delivered": 0, "failed": 0, "dropped": 0}
    assert stage.receiver.bodies == []


async def test_a_tap_answers_in_the_form_of_what_was_offered(stage: Stage) -> None:
    await wrote(stage, "111", "15551230001")
    await stage.control.receipts(auto=False)
    rows = [{"id": "r1", "title": "Row"}]
    offer = {"type": "list", "body": {"text": "?"}, "action": {"button": "Pick", "sections": [{"rows": rows}]}}
    _, listed = await stage.whatsapp(to="15551230001", type="interactive", interactive=offer)
    reminder = {
        "name": "appointment_reminder",
        "language": {"code": "en_US"},
        "components": [
            {
                "type": "body",
                "parameters": [
                    {"type": "text", "parameter_name": "first_name", "text": "Ann"},
                    {"type": "text", "parameter_name": "day", "text": "Monday"},
                ],
            }
        ],
    }
    _, sent = await stage.whatsapp(to="15551230001", type="template", template=reminder)
    for answer in (listed, sent):
        await stage.control.say(
            "111",
            {"id": "15551230001"},
            kind="button",
            message_id=answer["messages"][0]["id"],
            payload="r1",
            title="Row",
        )
    await stage.receiver.until(2)
    picked, tapped = (item["messages"][0] for item in stage.receiver.items())
    assert picked["interactive"] == {"type": "list_reply", "list_reply": {"id": "r1", "title": "Row"}}
    assert picked["context"]["id"] == listed["messages"][0]["id"]
    assert (tapped["type"], tapped["button"]) == ("button", {"payload": "r1", "text": "Row"})
    assert (await stage.control.inbox("111", "15551230001"))[1][
        "text"
    ] == "Ann, we look forward to seeing you on Monday."
