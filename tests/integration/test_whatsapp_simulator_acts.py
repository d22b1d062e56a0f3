"""What the simulator's WhatsApp people do, and what Meta says of an account by itself (facts, 1.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from simulator_stage import Stage, open_stage, subset, wrote

from channels.simulator.client import SimulatorError
from channels.simulator.server import SimulatorServer

Json = dict[str, Any]
ANN = "15551230001"


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatorServer]:
    async with SimulatorServer(seed=12, retry_scale=0.01, fetch_links=False) as server:
        yield server


@pytest.fixture
async def stage(simulator: SimulatorServer) -> AsyncIterator[Stage]:
    async with open_stage(simulator) as opened:
        yield opened


# --- What people do ---------------------------------------------------------------------------------------------------

ACTS: list[tuple[str, Json, Json]] = [
    ("a flow's answer", {"kind": "flow_reply", "payload": "{bad"},
     {"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"response_json": "{bad"}}}),
    ("leave to call", {"kind": "call_permission", "payload": "reject"},
     {"interactive": {"type": "call_permission_reply", "call_permission_reply": {"response": "reject"}}}),
    ("their phone", {"kind": "contact_info"},
     {"type": "contacts", "contacts": [{"origin": "request", "phones": [{"wa_id": ANN}]}]}),
    ("an order", {"kind": "order", "payload": "sku"}, {"order": {"product_items": [{"product_retailer_id": "sku"}]}}),
    ("a removal by an empty emoji", {"kind": "unreact", "message_id": "wamid.x", "empty_emoji": True},
     {"reaction": {"message_id": "wamid.x", "emoji": ""}}),
    ("often forwarded", {"text": "x", "frequently_forwarded": True}, {"context": {"frequently_forwarded": True}}),
    ("about a product", {"text": "x", "referred_product": {"catalog_id": "1", "product_retailer_id": "2"}},
     {"context": {"from": "15550000001", "referred_product": {"catalog_id": "1"}}}),
    ("an ad", {"kind": "referral", "text": "x"}, {"referral": {"source_type": "ad", "ctwa_clid": "clid-1"}}),
    ("a file that is gone", {"kind": "video", "error_code": 131052}, {"type": "video", "errors": [{"code": 131052}]}),
    ("another security code", {"kind": "identity_changed", "payload": "h"},
     {"system": {"type": "customer_identity_changed"}, "identity": {"hash": "h", "acknowledged": False}}),
    ("another id", {"kind": "user_id_changed", "payload": "US.2"},
     {"system": {"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": "US.1"}}),
    ("a file and its words", {"kind": "document", "text": "c"},
     {"document": {"caption": "c", "filename": "document.pdf"}}),
    ("what cannot be told", {"kind": "unsupported", "payload": "view_once"},
     {"unsupported": {"type": "view_once"}, "errors": [{"code": 131051}]}),
]  # fmt: skip


@pytest.mark.parametrize(("wish", "expected"), [case[1:] for case in ACTS], ids=[case[0] for case in ACTS])
async def test_acts(stage: Stage, wish: Json, expected: Json) -> None:
    await stage.control.say("111", {"id": ANN, "bsuid": "US.1"}, **wish)
    await stage.receiver.until(1)
    assert subset(expected, stage.receiver.items()[0]["messages"][0]), stage.receiver.items()


async def test_an_edit_keeps_the_kind_of_its_message(stage: Stage) -> None:
    picture = await stage.control.say("111", {"id": ANN}, "old", kind="image")
    await stage.control.customer("111", {"id": ANN}, wrote_hours_ago=25)
    await stage.control.say("111", {"id": ANN}, "new", kind="edit", message_id=picture["id"])
    await stage.receiver.until(2)
    inner = stage.receiver.items()[1]["messages"][0]["edit"]["message"]
    assert subset({"type": "image", "image": {"caption": "new", "mime_type": "image/png"}}, inner)
    await stage.whatsapp(to=ANN, text={"body": "late"})  # an edit opens no window
    await stage.receiver.until(3)
    assert stage.receiver.statuses()[0]["errors"][0]["code"] == 131047


async def test_an_interactive_message_can_come_without_its_object(stage: Stage) -> None:
    await stage.control.say("111", {"id": ANN}, kind="empty_interactive")
    await stage.receiver.until(1)
    value = stage.receiver.items()[0]
    assert (value["messages"][0]["type"], "interactive" in value["messages"][0]) == ("interactive", False)
    assert value["errors"][0]["code"] == 131000


async def test_people_are_named_in_every_way(stage: Stage) -> None:
    who: list[tuple[Json, Json]] = [
        ({"id": "p1", "phone": "15551", "bsuid": "US.7", "bsuid_in_from": True},
         {"from": "US.7", "from_user_id": "US.7"}),
        ({"id": "p2", "bsuid": "US.8", "hide_phone": True, "parent_bsuid": "US.ENT.8"},
         {"from_user_id": "US.8", "from_parent_user_id": "US.ENT.8"}),
    ]  # fmt: skip
    for number, (customer, expected) in enumerate(who, 1):
        await stage.control.say("111", customer, "hi")
        await stage.receiver.until(number)
        value = stage.receiver.items()[-1]
        message = value["messages"][0]
        assert {key: message[key] for key in message if key.startswith("from")} == expected
        assert value["contacts"][0]["user_id"] == expected["from_user_id"]
    await stage.control.customer("111", {"id": "p1"}, has_profile=False)
    await stage.control.say("111", {"id": "p1"}, "hi")
    await stage.receiver.until(3)
    assert "profile" not in stage.receiver.items()[-1]["contacts"][0]


async def test_clicks_and_calls_are_no_messages(stage: Stage) -> None:
    await stage.control.customer("111", {"id": ANN}, wrote_hours_ago=48)
    await stage.control.say("111", {"id": ANN}, kind="link_click")
    await stage.receiver.until(1)
    value = stage.receiver.items()[0]
    assert value["user_actions"][0]["action_type"] == "marketing_messages_link_click"
    assert not {"messages", "contacts"} & set(value)
    await stage.control.say("111", {"id": ANN}, kind="call")
    await stage.control.say("111", {"id": ANN}, "hi", standby=True)
    await stage.receiver.until(3)
    fields = [received["entry"][0]["changes"][0]["field"] for received in stage.receiver.bodies]
    assert fields == ["messages", "calls", "standby"]
    await stage.whatsapp(to=ANN, text={"body": "x"})
    await stage.receiver.until(6)
    assert [each["status"] for each in stage.receiver.statuses()] == ["sent", "delivered", "read"]


async def test_the_phone_app_tells_edits_and_revokes(stage: Stage) -> None:
    await wrote(stage, "111", ANN)
    said = await stage.control.native("111", {"id": ANN}, "frmo the phone")
    await stage.control.native("111", {"id": ANN}, "from the phone", kind="edit", message_id=said["id"])
    await stage.control.native("111", {"id": ANN}, kind="image")
    await stage.control.native("111", {"id": ANN}, kind="unsend", message_id=said["id"])
    await stage.receiver.until(4)
    _, edit, image, revoke = (item["message_echoes"][0] for item in stage.receiver.items())
    assert subset({"type": "edit", "to": ANN, "edit": {"original_message_id": said["id"]}}, edit)
    assert subset({"type": "image", "image": {"mime_type": "image/png"}}, image)
    assert subset({"type": "revoke", "revoke": {"original_message_id": said["id"]}}, revoke)
    with pytest.raises(SimulatorError, match="message of the business"):
        await stage.control.native("111", {"id": ANN}, "x", kind="edit", message_id="wamid.unknown")


# --- Groups and the account -------------------------------------------------------------------------------------------


async def test_groups_answer_for_each_of_their_people(stage: Stage) -> None:
    people: list[Any] = [{"id": ANN}, {"id": "15551230002", "bsuid": "US.9", "hide_phone": True}]
    await stage.control.event("111", "group", group_id="G1", change="create", title="Team")
    await stage.control.event("111", "group", group_id="G1", change="join", people=people)
    await stage.control.say("111", {"id": ANN}, "hi all", group={"id": "G1"})
    await stage.receiver.until(3)
    created, joined, message = stage.receiver.items()
    assert created["groups"][0]["type"] == "group_create"
    assert [person.get("wa_id") for person in joined["groups"][0]["added_participants"]] == [ANN, None]
    assert message["messages"][0]["group_id"] == "G1"
    await stage.control.receipts("111", delivered_after=0, read_after=60)
    _, answer = await stage.whatsapp(to="G1", recipient_type="group", text={"body": "hello"})
    await stage.receiver.until(6)
    assert answer["contacts"] == [{"input": "G1", "wa_id": "G1"}]
    statuses = stage.receiver.statuses()
    assert all(each["recipient_type"] == "group" and each["recipient_id"] == "G1" for each in statuses)
    assert [(each["status"], each.get("recipient_participant_id")) for each in statuses] == [
        ("sent", None), ("delivered", ANN), ("delivered", None),
    ]  # fmt: skip
    assert statuses[2]["recipient_participant_user_id"] == "US.9"
    refused = await stage.whatsapp(to=ANN, recipient_type="group", text={"body": "x"})
    assert refused[1]["error"]["code"] == 131009


ABOUT: list[tuple[str, Json, str, Json]] = [
    ("number_quality", {"update": "UPGRADE", "limit": "TIER_10K"}, "phone_number_quality_update",
     {"event": "UPGRADE", "current_limit": "TIER_10K", "old_limit": "TIER_1K", "display_phone_number": "15550000001"}),
    ("number_name", {"name": "Fresh"}, "phone_number_name_update", {"decision": "APPROVED"}),
    ("account_update", {"update": "DISABLED_UPDATE", "details": {"ban_info": {"waba_ban_state": "DISABLE"}}},
     "account_update", {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}),
    ("account_alert", {"severity": "CRITICAL"}, "account_alerts", {"alert_info": {"alert_severity": "CRITICAL"}}),
    ("account_review", {"decision": "REJECTED"}, "account_review_update", {"decision": "REJECTED"}),
    ("business_capability", {"daily_limit": 7}, "business_capability_update", {"max_daily_conversation_per_phone": 7}),
    ("security", {}, "security", {"event": "PIN_CHANGED"}),
    ("business_username", {"username": "shop"}, "business_username_updates", {"username": "shop"}),
    ("raw", {"field": "history", "value": {"history": []}}, "history", {"history": []}),
]  # fmt: skip


@pytest.mark.parametrize(("event", "details", "field", "expected"), ABOUT, ids=[case[0] for case in ABOUT])
async def test_meta_speaks_of_the_account(stage: Stage, event: str, details: Json, field: str, expected: Json) -> None:
    await stage.control.event("111", event, **details)
    await stage.receiver.until(1)
    entry = stage.receiver.bodies[0]["entry"][0]
    assert entry["id"] == "999"
    assert isinstance(entry["time"], int)
    assert entry["changes"][0]["field"] == field
    assert subset(expected, entry["changes"][0]["value"])


async def test_what_meta_says_is_so(stage: Stage) -> None:
    await wrote(stage, "111", ANN)
    await stage.control.event("111", "number_quality", update="UPGRADE", limit="TIER_10K", rating="YELLOW")
    ban: Json = {"ban_info": {"waba_ban_state": "DISABLE"}}
    await stage.control.event("111", "account_update", update="DISABLED_UPDATE", details=ban)
    _, number = await stage.graph("GET", "111?fields=messaging_limit_tier,quality_rating", "wa-token")
    assert (number["messaging_limit_tier"], number["quality_rating"]) == ("TIER_10K", "YELLOW")
    assert (await stage.whatsapp(to=ANN, text={"body": "x"}))[1]["error"]["code"] == 131031
    back: Json = {"ban_info": {"waba_ban_state": "REINSTATE"}}
    await stage.control.event("111", "account_update", update="DISABLED_UPDATE", details=back)
    assert (await stage.whatsapp(to=ANN, text={"body": "x"}))[0] == 200
    with pytest.raises(SimulatorError, match="WhatsApp has no policy"):
        await stage.control.event("111", "policy", action="block")
