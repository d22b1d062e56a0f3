"""What the simulator's Send API of Messenger and Instagram takes and refuses (facts, 2.3 to 2.6, 3.3, 3.4)."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from simulator_stage import TOKENS, Stage, open_stage, subset, wrote

from channels.simulator.server import SimulatorServer

Json = dict[str, Any]
ANN = "9001"
Code = tuple[int, int | None]


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(seed=13, retry_scale=0.01, fetch_links=False) as server:
        yield server


@pytest.fixture
async def stage(simulator: SimulatorServer) -> AsyncIterator[Stage]:
    async with open_stage(simulator) as opened:
        yield opened


def code_of(answer: Json) -> Code:
    return answer["error"]["code"], answer["error"].get("error_subcode")


# --- Messages ---------------------------------------------------------------------------------------------------------


def image(number: int = 1) -> Json:
    return {"type": "image", "payload": {"url": f"https://x.example/{number}.png"}}


def template(kind: str, **about: Any) -> Json:
    return {"attachment": {"type": "template", "payload": {"template_type": kind, **about}}}


CALL = {"type": "phone_number", "title": "Call", "payload": "+15550000001"}
GRID = [{"image_url": "https://x.example/1.png"}] * 2
MESSAGES: list[tuple[str, str, Json, Code | None]] = [
    ("ten pictures", "333", {"attachments": [image(n) for n in range(10)]}, None),
    ("eleven pictures", "333", {"attachments": [image(n) for n in range(11)]}, (100, None)),
    ("a picture and a film", "333", {"attachments": [image(), {**image(), "type": "video"}]}, (100, None)),
    ("two pictures", "222", {"attachments": [image(1), image(2)]}, (100, None)),
    ("a grid", "222", template("image_grid", elements=GRID), None),
    ("a grid of one", "222", template("image_grid", elements=GRID[:1]), (100, None)),
    ("a grid", "333", template("image_grid", elements=GRID), (100, None)),
    ("a heart", "333", {"attachment": {"type": "like_heart"}}, None),
    ("a heart", "222", {"attachment": {"type": "like_heart"}}, (100, None)),
    ("a post", "333", {"attachment": {"type": "MEDIA_SHARE", "payload": {"id": "178"}}}, None),
    ("no post", "333", {"attachment": {"type": "MEDIA_SHARE", "payload": {}}}, (100, None)),
    ("a sticker", "222", {"attachment": {"type": "sticker", "payload": {"sticker_id": 369239263222822}}}, None),
    ("no sticker", "222", {"attachment": {"type": "sticker", "payload": {}}}, (100, None)),
    ("cards", "222", template("generic", elements=[{"title": "A", "buttons": [CALL]}]), None),
    ("a card that calls", "333", template("generic", elements=[{"title": "A", "buttons": [CALL]}]), (100, None)),
    ("eleven cards", "333", template("generic", elements=[{"title": "A"}] * 11), (100, None)),
    ("a receipt", "222", template("receipt", recipient_name="Ann"), None),
    ("a receipt", "333", template("receipt", recipient_name="Ann"), (100, None)),
    ("a file from nowhere", "222", {"attachment": {"type": "file", "payload": {"attachment_id": "1"}}}, (100, 2018074)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("account_id", "message", "code"),
    [case[1:] for case in MESSAGES],
    ids=[f"{case[0]} on {case[1]}" for case in MESSAGES],
)
async def test_messages(stage: Stage, account_id: str, message: Json, code: Code | None) -> None:
    await wrote(stage, account_id, ANN)
    status, answer = await stage.page(account_id, recipient={"id": ANN}, message=message)
    if code is None:
        assert (status, answer["recipient_id"]) == (200, ANN)
    else:
        assert (status, code_of(answer)) == (400, code)


async def test_uploads_are_kept_for_ninety_days(stage: Stage) -> None:
    await wrote(stage, "333", ANN)

    async def upload(filename: str, size: int = 10) -> tuple[int, Json]:
        fields = {"platform": "instagram", "message": '{"attachment":{"type":"image","payload":{}}}'}
        form = aiohttp.FormData(fields, quote_fields=False)
        form.add_field("filedata", io.BytesIO(bytes(size)), filename=filename, content_type="image/png")
        return await stage.graph("POST", "333/message_attachments", "ig-token", None, data=form)

    assert code_of((await upload("grüße.png"))[1]) == (100, 2018047)
    assert code_of((await upload("big.png", 9 * 1024 * 1024))[1]) == (100, 2018047)
    _, kept = await upload("small.png")
    attachment = {"type": "image", "payload": {"attachment_id": kept["attachment_id"]}}
    assert (await stage.page("333", recipient={"id": ANN}, message={"attachments": [attachment, attachment]}))[0] == 200
    other = await stage.page("333", recipient={"id": ANN}, message={"attachment": {**attachment, "type": "video"}})
    assert code_of(other[1]) == (100, 2018074)
    await stage.control.age("333", 91 * 24, media_id=kept["attachment_id"])
    gone = await stage.page("333", recipient={"id": ANN}, message={"attachment": attachment})
    assert code_of(gone[1]) == (100, 2018074)


UTILITY = {"name": "order_update", "language": {"code": "de"}, "components": [
    {"type": "body", "parameters": [{"type": "text", "text": "Anna"}, {"type": "text", "text": "A-42"}]}]}  # fmt: skip
UTILITIES: list[tuple[str, Json, Code | None]] = [
    ("filled", {"messaging_type": "UTILITY", "message": {"template": UTILITY, "metadata": "m"}}, None),
    ("not filled", {"messaging_type": "UTILITY", "message": {"template": {**UTILITY, "components": []}}}, (100, None)),
    ("unknown", {"messaging_type": "UTILITY", "message": {"template": {**UTILITY, "name": "no"}}}, (100, None)),
    ("marketing", {"messaging_type": "UTILITY", "message": {
        "template": {"name": "summer_offer", "language": {"code": "en_US"}}}}, (100, None)),
    ("free text", {"messaging_type": "UTILITY", "message": {"text": "x"}}, (100, None)),
    ("of no type", {"message": {"template": UTILITY}}, (100, None)),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "code"), [case[1:] for case in UTILITIES], ids=[case[0] for case in UTILITIES])
async def test_utility_messages_need_no_window(stage: Stage, fields: Json, code: Code | None) -> None:
    await stage.control.customer("222", {"id": ANN}, wrote_hours_ago=1000)
    status, answer = await stage.page("222", recipient={"id": ANN}, **fields)
    assert (status, None if status == 200 else code_of(answer)) == (200 if code is None else 400, code)
    if code is None:
        (seen,) = await stage.control.inbox("222", ANN)
        assert (seen["text"], seen["correlation"]) == ("Hallo Anna, deine Bestellung A-42 ist unterwegs.", "m")


@pytest.mark.parametrize(
    ("account_id", "hours", "fields", "code"),
    [
        ("222", 25, {}, (10, 2018278)),
        ("333", 25, {}, (10, 2534022)),
        ("222", 6 * 24, {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}, None),
        ("333", 8 * 24, {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}, (10, 2534022)),
        ("222", 1, {"messaging_type": "MESSAGE_TAG", "tag": "POST_PURCHASE_UPDATE"}, (100, None)),
        ("222", 1, {"messaging_type": "MESSAGE_TAG"}, (100, None)),
        ("333", 1, {"messaging_type": "MESSAGE_TAG", "tag": "ACCOUNT_UPDATE"}, (100, None)),
        ("222", 25, {"messaging_type": "UPDATE"}, (10, 2018278)),
    ],
)
async def test_windows(stage: Stage, account_id: str, hours: float, fields: Json, code: Code | None) -> None:
    await wrote(stage, account_id, ANN)
    await stage.control.age(account_id, hours, customer={"id": ANN})
    status, answer = await stage.page(account_id, recipient={"id": ANN}, message={"text": "x"}, **fields)
    assert (status, None if status == 200 else code_of(answer)) == (200 if code is None else 400, code)


# --- To whom ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account_id", ["222", "333"])
async def test_a_comment_is_answered_once_in_private(stage: Stage, account_id: str) -> None:
    made = [
        (await stage.control.event(account_id, "comment", customer={"id": ANN, "name": "Ann"}, text="How much?"))["id"]
        for _ in range(2)
    ]
    await stage.receiver.until(2)
    entry = stage.receiver.bodies[0]["entry"][0]
    if account_id == "222":
        change = entry["changes"][0]
        assert subset({"field": "feed", "value": {"item": "comment", "comment_id": made[0]}}, change)
    else:  # Instagram Login: flat, beside the id
        assert subset({"field": "comments", "id": "333", "value": {"id": made[0], "from": {"id": ANN}}}, entry)
    reply: Json = {"recipient": {"comment_id": made[0]}, "message": {"text": "5 €"}}
    status, answer = await stage.page(account_id, **reply)
    assert (status, answer["recipient_id"]) == (200, ANN)
    assert code_of((await stage.page(account_id, **reply))[1]) == (10900, None)
    assert code_of((await stage.page(account_id, **{**reply, "recipient": {"comment_id": "1"}}))[1]) == (100, None)
    await stage.control.age(account_id, 8 * 24, comment_id=made[1])
    assert code_of((await stage.page(account_id, **{**reply, "recipient": {"comment_id": made[1]}}))[1]) == (
        10903,
        None,
    )
    closed = await stage.page(account_id, recipient={"id": ANN}, message={"text": "and now?"})
    assert closed[1]["error"]["code"] == 10  # a private reply opens no window
    if account_id == "333":
        refused = await stage.graph("GET", ANN, "ig-token")
        assert (refused[0], refused[1]["error"]["code"]) == (403, 230)


async def test_a_checkbox_and_a_subscription_are_addresses(stage: Stage) -> None:
    await stage.control.say("222", {"id": ANN}, kind="optin", payload="ref-1")
    await stage.receiver.until(1)
    item = stage.receiver.items()[0]
    assert item["sender"] == {"user_ref": "ref-1"}
    status, answer = await stage.page("222", recipient={"user_ref": "ref-1"}, message={"text": "hi"})
    assert (status, set(answer)) == (200, {"message_id"})
    assert code_of((await stage.page("222", recipient={"user_ref": "no"}, message={"text": "x"}))[1]) == (100, 2018001)
    to = {"notification_messages_token": "t-1"}
    await stage.control.say("222", {"id": ANN}, kind="opt_in", payload="t-1")
    assert (await stage.page("222", recipient=to, message={"text": "offer"}))[0] == 200
    await stage.control.say("222", {"id": ANN}, kind="opt_out", payload="t-1")
    assert code_of((await stage.page("222", recipient=to, message={"text": "offer"}))[1]) == (10, 1893015)


async def test_a_thread_belongs_to_one_app(stage: Stage) -> None:
    for account_id, code in (("222", (10, 2018300)), ("333", (100, 2534037))):
        await wrote(stage, account_id, ANN)
        await stage.control.event(account_id, "thread_control", customer={"id": ANN}, action="pass", app_id="555")
        await stage.control.say(account_id, {"id": ANN}, "hi")
        await stage.receiver.until(2)
        handed, standby = stage.receiver.bodies
        hands = handed["entry"][0]["messaging"][0]["pass_thread_control"]
        assert hands["new_owner_app_id"] == "555"
        assert standby["entry"][0]["standby"][0]["message"]["text"] == "hi"
        assert code_of((await stage.page(account_id, recipient={"id": ANN}, message={"text": "x"}))[1]) == code
        await stage.control.event(account_id, "thread_control", customer={"id": ANN}, action="take")
        assert (await stage.page(account_id, recipient={"id": ANN}, message={"text": "x"}))[0] == 200


async def test_an_account_can_be_kept_from_sending(stage: Stage) -> None:
    for account_id, code in (("222", (10, 1893063)), ("333", (368, None))):
        await wrote(stage, account_id, ANN)
        await stage.control.event(account_id, "policy", action="block", reason="spam")
        await stage.receiver.until(1)
        item = stage.receiver.items()[0]
        assert item["policy_enforcement"] == {"action": "block", "reason": "spam"}
        assert "sender" not in item
        assert code_of((await stage.page(account_id, recipient={"id": ANN}, message={"text": "x"}))[1]) == code
        await stage.control.event(account_id, "policy", action="unblock")
        assert (await stage.page(account_id, recipient={"id": ANN}, message={"text": "x"}))[0] == 200
    await stage.control.state("333", messaging_access=False)
    status, answer = await stage.page("333", recipient={"id": ANN}, message={"text": "x"})
    assert (status, code_of(answer)) == (403, (200, 2534041))


async def test_people_fail_by_the_code_that_was_wished(stage: Stage) -> None:
    await wrote(stage, "222", ANN)
    send = {"recipient": {"id": ANN}, "message": {"text": "x"}}
    await stage.control.customer("222", {"id": ANN}, send_error=10, send_subcode=2018108)
    assert code_of((await stage.page("222", **send))[1]) == (10, 2018108)
    assert await stage.control.inbox("222", ANN) == []
    await stage.control.customer("222", {"id": ANN}, send_error=1, send_subcode=1357046)
    status, answer = await stage.page("222", **send)
    assert (status, code_of(answer)) == (500, (1, 1357046))
    assert len(await stage.control.inbox("222", ANN)) == 1  # looks failed, and was sent


@pytest.mark.parametrize("account_id", ["222", "333"])
async def test_moderation(stage: Stage, account_id: str) -> None:
    await wrote(stage, account_id, ANN)
    path, token = f"{account_id}/moderate_conversations", TOKENS[account_id]

    async def moderate(*actions: str, people: list[Any]) -> tuple[int, Json]:
        return await stage.graph("POST", path, token, {"user_ids": people, "actions": actions})

    assert await moderate("block_user", people=[{"id": ANN}]) == (200, {"success": True})
    assert (await stage.control.say(account_id, {"id": ANN}, "unheard"))["id"] is None
    assert code_of((await stage.page(account_id, recipient={"id": ANN}, message={"text": "x"}))[1]) == (551, 1545041)
    assert await moderate("unblock_user", "move_to_spam", people=[ANN]) == (200, {"success": True})
    assert (await stage.page(account_id, recipient={"id": ANN}, message={"text": "x"}))[0] == 200
    assert code_of((await moderate("shout", people=[ANN]))[1]) == (100, None)
    assert code_of((await moderate("block_user", people=[ANN] * 11))[1]) == (100, None)
    assert code_of((await moderate("block_user", people=["1"]))[1])[1] in (2018001, 2534014)
    assert code_of((await moderate("block_user", "unblock_user", people=[ANN]))[1]) == (100, None)


async def test_reactions_go_to_messages_of_the_same_person(stage: Stage) -> None:
    theirs, others = await wrote(stage, "222", ANN), await wrote(stage, "222", "9002")
    react: Json = {"sender_action": "react", "payload": {"message_id": theirs, "reaction": "love"}}
    assert (await stage.page("222", recipient={"id": ANN}, **react))[0] == 200
    assert (await stage.control.inbox("222", ANN, everything=True))[0]["reactions"] == {"business": "❤"}
    assert (await stage.page("222", recipient={"id": ANN}, **{**react, "sender_action": "unreact"}))[0] == 200
    assert (await stage.control.inbox("222", ANN, everything=True))[0]["reactions"] == {}
    react["payload"]["message_id"] = others
    assert code_of((await stage.page("222", recipient={"id": ANN}, **react))[1]) == (100, 9000001)


# --- Look-ups ---------------------------------------------------------------------------------------------------------


async def test_profiles(stage: Stage) -> None:
    for account_id in ("222", "333"):
        await wrote(stage, account_id, ANN)
    _, found = await stage.graph("GET", f"{ANN}?fields=name,username,profile_pic,follower_count", "ig-token")
    assert subset({"name": "Änn Bäker", "username": "änn.bäker", "follower_count": 120, "id": ANN}, found)
    assert (await stage.graph("GET", f"{ANN}?fields=locale", "page-token"))[1]["error"]["code"] == 200
    await stage.control.state("222", scopes=["pages_messaging", "pages_user_locale"])
    assert (await stage.graph("GET", f"{ANN}?fields=locale", "page-token"))[1] == {"locale": "en", "id": ANN}
    await stage.control.customer("222", {"id": ANN}, has_profile=False)
    assert code_of((await stage.graph("GET", ANN, "page-token"))[1]) == (100, 2018218)
    await stage.control.state("222", profile_access=False)
    assert await stage.graph("GET", ANN, "page-token") == (200, {})
    await stage.control.customer("333", {"id": ANN}, has_profile=False)
    _, found = await stage.graph("GET", f"{ANN}?fields=name,username", "ig-token")
    assert found == {"id": ANN, "name": None, "username": "änn.bäker"}


async def test_a_message_can_be_looked_up(stage: Stage) -> None:
    theirs = await stage.control.say("333", {"id": ANN, "username": "ann"}, "nice", kind="story_reply")
    _, found = await stage.graph("GET", f"{theirs['id']}?fields=from,to,message,story", "ig-token")
    assert subset({"from": {"id": ANN, "username": "ann"}, "to": {"data": [{"id": "333"}]}, "message": "nice"}, found)
    assert found["story"]["reply_to"]["id"] == "17800000000000001"
    assert set((await stage.graph("GET", str(theirs["id"]), "ig-token"))[1]) == {"id", "created_time"}
    await stage.control.say("333", {"id": ANN}, kind="unsend", message_id=theirs["id"])
    assert code_of((await stage.graph("GET", str(theirs["id"]), "ig-token"))[1]) == (100, 33)


async def test_a_reusable_file_is_kept(stage: Stage) -> None:
    await wrote(stage, "222", ANN)
    picture = {"type": "image", "payload": {"url": "https://x.example/1.png", "is_reusable": True}}
    _, answer = await stage.page("222", recipient={"id": ANN}, message={"attachment": picture})
    again = {"type": "image", "payload": {"attachment_id": answer["attachment_id"]}}
    status, answer = await stage.page("222", recipient={"id": ANN}, message={"attachment": again})
    assert (status, "attachment_id" in answer) == (200, False)


async def test_an_error_can_hide_a_send(stage: Stage) -> None:
    await wrote(stage, "222", ANN)
    await stage.control.fault("api", "fail", code=1, subcode=1357046, count=1)
    status, answer = await stage.page("222", recipient={"id": ANN}, message={"text": "x"})
    assert (status, code_of(answer)) == (500, (1, 1357046))
    assert [each["text"] for each in await stage.control.inbox("222", ANN)] == ["x"]


async def test_films_have_a_rate_of_their_own(stage: Stage) -> None:
    await stage.control.register("messenger", "225", "t5", options={"media_per_second": 2})
    await stage.control.say("225", {"id": ANN}, "hi")
    film = {"attachment": {"type": "video", "payload": {"url": "https://x.example/1.mp4"}}}
    answers = [
        await stage.graph("POST", "225/messages", "t5", {"recipient": {"id": ANN}, "message": message})
        for message in (film, film, film, {"text": "x"})
    ]
    assert [status for status, _ in answers] == [200, 200, 400, 200]
    assert code_of(answers[2][1]) == (613, None)
