"""What the simulator's Messenger and Instagram people do, as webhooks tell it (facts, 2.2, 3.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from simulator_stage import SECRET, Stage, open_stage, subset, wrote

from channels.simulator.client import SimulatorError
from channels.simulator.server import SimulatorServer

Json = dict[str, Any]
ANN = "9001"


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(seed=14, retry_scale=0.01) as server:
        yield server


@pytest.fixture
async def stage(simulator: SimulatorServer) -> AsyncIterator[Stage]:
    async with open_stage(simulator) as opened:
        yield opened


THUMB = {"type": "sticker", "payload": {"sticker_id": 369239263222822}}
ACTS: list[tuple[str, str, Json, Json]] = [
    ("a reel", "222", {"kind": "reel"}, {"attachments": [{"type": "reel", "payload": {"reel_video_id": 1001}}]}),
    ("a reel of Instagram", "222", {"kind": "reel", "payload": "ig_reel"}, {"attachments": [{"type": "ig_reel"}]}),
    ("a post", "222", {"kind": "post", "url": "https://x"},
     {"attachments": [{"type": "post", "payload": {"url": "https://x"}}]}),
    ("a link", "222", {"kind": "share"}, {"attachments": [{"type": "fallback", "payload": {"title": "A link"}}]}),
    ("a sticker", "222", {"kind": "sticker"}, {"attachments": [THUMB]}),
    ("three pictures", "222", {"kind": "image", "count": 3}, {"attachments": [{"type": "image"}] * 3}),
    ("an ad's first words", "222", {"kind": "referral", "text": "hi"},
     {"text": "hi", "referral": {"source": "SHORTLINK"}}),
    ("a quoted message", "222", {"text": "hi", "reply_to": "m_1"}, {"reply_to": {"mid": "m_1"}}),
    ("a reel", "333", {"kind": "reel", "title": "T"},
     {"attachments": [{"type": "ig_reel", "payload": {"title": "T"}}]}),
    ("a post", "333", {"kind": "post"}, {"attachments": [{"type": "ig_post"}]}),
    ("a post of old", "333", {"kind": "post", "payload": "share"}, {"attachments": [{"type": "share"}]}),
    ("a story", "333", {"kind": "story"}, {"attachments": [{"type": "ig_story"}]}),
    ("a mention", "333", {"kind": "story_mention"}, {"attachments": [{"type": "story_mention"}]}),
    ("seen once", "333", {"kind": "ephemeral"}, {"attachments": [{"type": "ephemeral"}]}),
    ("not told", "333", {"kind": "unsupported"}, {"is_unsupported": True}),
    ("an ad's first words", "333", {"kind": "referral", "text": "hi"}, {"referral": {"source": "SHORTLINKS"}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("account_id", "wish", "expected"), [case[1:] for case in ACTS], ids=[f"{case[0]} on {case[1]}" for case in ACTS]
)
async def test_acts(stage: Stage, account_id: str, wish: Json, expected: Json) -> None:
    await stage.control.say(account_id, {"id": ANN}, **wish)
    await stage.receiver.until(1)
    assert subset(expected, stage.receiver.items()[0]["message"]), stage.receiver.items()


async def test_a_sticker_was_a_picture_until_august(stage: Stage) -> None:
    hook: Json = {"app_secret": SECRET, "webhook_url": stage.receiver.url + "/meta"}
    await stage.control.register("messenger", "223", "t", options={"legacy_stickers": True}, **hook)
    await stage.control.say("223", {"id": ANN}, kind="sticker", payload="7")
    await stage.receiver.until(1)
    (attachment,) = stage.receiver.items()[0]["message"]["attachments"]
    assert (attachment["type"], attachment["payload"]["sticker_id"]) == ("image", 7)


async def test_instagram_may_write_numbers_as_text(stage: Stage) -> None:
    hook: Json = {"app_secret": SECRET, "webhook_url": stage.receiver.url + "/meta"}
    options: Json = {"string_numbers": True, "edit_trap": True}
    await stage.control.register("instagram", "334", "t", options=options, **hook)
    said = await stage.control.say("334", {"id": ANN}, "hi")
    await stage.control.say("334", {"id": ANN}, "ho", kind="edit", message_id=said["id"])
    await stage.receiver.until(3)
    trap, message, edit = stage.receiver.items()
    assert trap["message_edit"] == {"mid": said["id"], "num_edit": "0"}
    assert not {"sender", "recipient"} & set(trap)
    assert isinstance(message["timestamp"], str)
    assert edit["message_edit"] == {"mid": said["id"], "text": "ho", "num_edit": "1"}


async def test_only_some_acts_open_the_window(stage: Stage) -> None:
    for account_id, closing in (("222", ("edit", "unreact", "opt_out")), ("333", ("edit", "unsend", "unreact"))):
        for kind in closing:
            said = await stage.control.say(account_id, {"id": ANN}, "hi")
            await stage.control.customer(account_id, {"id": ANN}, wrote_hours_ago=25)
            await stage.control.say(account_id, {"id": ANN}, "x", kind=kind, message_id=said["id"])
            _, answer = await stage.page(account_id, recipient={"id": ANN}, message={"text": "x"})
            assert answer["error"]["code"] == 10, kind
    for kind in ("reaction", "postback", "referral"):
        await stage.control.customer("222", {"id": ANN}, wrote_hours_ago=25)
        await stage.control.say("222", {"id": ANN}, kind=kind, message_id="m_1")
        assert (await stage.page("222", recipient={"id": ANN}, message={"text": "x"}))[0] == 200, kind


async def test_another_apps_conversation_is_told_in_standby(stage: Stage) -> None:
    await stage.control.customer("222", {"id": ANN}, thread_owner="555")
    await stage.control.say("222", {"id": ANN}, "hi")
    await stage.control.native("222", {"id": ANN}, "answered elsewhere")
    await stage.receiver.until(2)
    items = [received["entry"][0]["standby"][0] for received in stage.receiver.bodies]
    assert [item["message"]["text"] for item in items] == ["hi", "answered elsewhere"]
    with pytest.raises(SimulatorError, match="never to standby"):
        await stage.control.say("222", {"id": ANN}, kind="postback")
    await stage.control.customer("222", {"id": ANN}, thread_owner="")
    await stage.control.say("222", {"id": ANN}, "mine again")
    await stage.receiver.until(3)
    assert "messaging" in stage.receiver.bodies[2]["entry"][0]


async def test_native_pictures_come_as_echoes(stage: Stage) -> None:
    for account_id in ("222", "333"):
        await wrote(stage, account_id, ANN)
        await stage.control.native(account_id, {"id": ANN}, kind="image", reply_to="m_1")
        await stage.receiver.until(1)
        echo = stage.receiver.items()[0]["message"]
        assert subset({"is_echo": True, "attachments": [{"type": "image"}], "reply_to": {"mid": "m_1"}}, echo)
        assert "text" not in echo
        with pytest.raises(SimulatorError, match="tells nothing"):
            await stage.control.native(account_id, {"id": ANN}, "x", kind="edit", message_id="m")


async def test_acts_of_the_other_product_are_refused(stage: Stage) -> None:
    for account_id, kind in (
        ("222", "unsend"),
        ("222", "ephemeral"),
        ("222", "story"),
        ("333", "location"),
        ("333", "sticker"),
    ):
        with pytest.raises(SimulatorError, match=f"customers cannot do {kind}"):
            await stage.control.say(account_id, {"id": ANN}, kind=kind)
    with pytest.raises(SimulatorError, match="instagram has no number_quality"):
        await stage.control.event("333", "number_quality")
    await stage.control.event("222", "template_status", name="order_update", status="DISABLED")
    await stage.control.event("333", "raw", field="mentions", value={"media_id": "1"}, flat=True)
    await stage.receiver.until(2)
    template, mention = (received["entry"][0] for received in stage.receiver.bodies)
    assert template["changes"][0]["value"]["event"] == "DISABLED"
    assert (mention["field"], mention["value"]) == ("mentions", {"media_id": "1"})
