"""WhatsApp webhooks become neutral items: one recorded-shape payload a kind, expected values spelled out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from channels.content import (
    ChoicePart,
    ContactCard,
    ContactsPart,
    LocationPart,
    MediaPart,
    MediaRef,
    OrderItem,
    OrderPart,
    Part,
    SystemPart,
    TextPart,
    UnsupportedPart,
)
from channels.inbound import (
    AccountChanged,
    ChannelNotice,
    Echo,
    IdentityChanged,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    PersonNamed,
    PreferenceChanged,
    ReactionChanged,
    Referral,
    StatusReported,
    TemplateChanged,
    UnsupportedEvent,
)
from channels.meta.provider import MetaProvider
from channels.types import Address, JsonObject, Person
from channels.whatsapp.parse import OBJECT, parse
from channels.wire import UNKNOWN_TIME, as_object

DATA = Path(__file__).parents[2] / "data" / "whatsapp"
PROVIDER = MetaProvider({OBJECT: parse})

PHONE = Address("whatsapp_phone", "", "15551230001")
BSUID = Address("whatsapp_user", "", "US.13491208655302741918")
USERNAME = Address("whatsapp_username", "", "ann.b")
GROUP = Person((Address("whatsapp_group", "", "120363000000000000@g.us"),), is_group=True)
ANN = Person((PHONE, BSUID, USERNAME), name="Ann", username="Ann.B", phone="+15551230001")
UNNAMED = Person((PHONE, BSUID), phone="+15551230001")
ONLY_PHONE = Person((PHONE,), phone="+15551230001")
SENT_AT = datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)
RECEIPT_AT = datetime(2025, 6, 18, 16, 22, 53, tzinfo=UTC)
CHANGED_AT = datetime(2025, 7, 30, 4, 55, 15, tzinfo=UTC)
ENTRY_AT = datetime(2025, 2, 10, 18, 37, 4, tzinfo=UTC)
SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def parsed(name: str) -> list[Inbound]:
    return PROVIDER.parse((DATA / f"{name}.json").read_bytes())


def received(*parts: Part, **facts: object) -> MessageReceived:
    defaults = {"account_id": "111", "external_id": "wamid.A", "peer": ANN, "occurred_at": SENT_AT}
    return MessageReceived(parts=parts, **{**defaults, **facts})  # type: ignore[arg-type]


def status(name: str, **facts: object) -> StatusReported:
    defaults = {"correlation": "m-42", "peer": UNNAMED, **facts}
    return StatusReported("111", "wamid.out", name, RECEIPT_AT, **defaults)  # type: ignore[arg-type]


def template(**facts: object) -> TemplateChanged:
    return TemplateChanged("900", "order_update", "en_US", ENTRY_AT, "7", **facts)  # type: ignore[arg-type]


def account(aspect: str, health: str | None, reason: str, **data: object) -> AccountChanged:
    return AccountChanged("900", aspect, ENTRY_AT, health, reason, {**data, "waba_id": "900"})  # type: ignore[arg-type, dict-item]


def id_changed(text: str | None, **extra: str) -> SystemPart:
    data = {"type": "user_changed_user_id", "user_id": "US.2", "previous_user_id": "US.1", **extra}
    return SystemPart("user_changed_user_id", text, dict(data))


OLD_ID, NEW_ID = Address("whatsapp_user", "", "US.1"), Address("whatsapp_user", "", "US.2")
NEW_PHONE = Address("whatsapp_phone", "", "15559990000")
FLOW: JsonObject = {"day": "Monday", "seats": 2}

CASES: dict[str, list[Inbound]] = {
    # Who wrote.
    "text": [received(TextPart("hi ä 👍"))],
    "text_phone_only": [received(TextPart("hi"), peer=Person((PHONE,), name="Ann", phone="+15551230001"))],
    "text_bsuid_only": [received(TextPart("hi"), peer=Person((BSUID, USERNAME), name="Ann", username="ann.b"))],
    "text_bsuid_in_from": [received(TextPart("hi"), peer=Person((BSUID,), name="Ann"))],
    "text_no_contacts": [received(TextPart("hi"), peer=ONLY_PHONE)],
    "text_parent_only": [received(TextPart("hi"), peer=Person((Address("whatsapp_user", "", "US.ENT.118"),)))],
    "group_message": [received(TextPart("hi all"), peer=GROUP, author=ANN)],
    # What was written.
    "image": [received(MediaPart("image", MediaRef("1001", None, "image/jpeg", sha256=SHA256), "look"))],
    "video": [received(MediaPart("video", MediaRef("1002", None, "video/mp4", sha256=SHA256)))],
    "document": [
        received(
            MediaPart(
                "document", MediaRef("1003", None, "application/pdf", sha256=SHA256, filename="a.pdf"), "the bill"
            )
        )
    ],
    "audio": [received(MediaPart("audio", MediaRef("1004", None, "audio/mpeg", sha256=SHA256)))],
    "voice": [received(MediaPart("voice", MediaRef("1005", None, "audio/ogg; codecs=opus", sha256=SHA256)))],
    "sticker": [received(MediaPart("sticker", MediaRef("1006", None, "image/webp", sha256=SHA256)))],
    "image_lost": [
        received(
            MediaPart("image", None, "look"),
            UnsupportedPart(
                "image",
                "The file is too large.",
                {
                    "errors": [
                        {
                            "code": 131052,
                            "title": "Media download error",
                            "error_data": {"details": "The file is too large."},
                        }
                    ]
                },
            ),
        )
    ],
    "image_lost_entirely": [
        received(
            MediaPart("image", None),
            UnsupportedPart(
                "image",
                "The file is too large.",
                {
                    "errors": [
                        {
                            "code": 131052,
                            "title": "Media download error",
                            "error_data": {"details": "The file is too large."},
                        }
                    ]
                },
            ),
        )
    ],
    "location": [received(LocationPart(48.2082, 16.3738, "Stephansdom", "Stephansplatz 3", "https://example.org/dom"))],
    "contacts": [
        received(
            ContactsPart(
                (
                    ContactCard(
                        "Bob Roe",
                        ("+1 555 123 0002",),
                        ("bob@example.org",),
                        "Roe Ltd",
                        addresses=(
                            Address("whatsapp_phone", "", "15551230002"),
                            Address("whatsapp_user", "", "US.22"),
                        ),
                    ),
                )
            )
        )
    ],
    "contact_requested": [
        received(ContactsPart((ContactCard(None, ("+15551230001",), vcard="BEGIN:VCARD\nEND:VCARD"),)))
    ],
    "button": [received(ChoicePart("button", "YES", "Yes, please"), reply_to="wamid.out")],
    "button_without_context": [received(ChoicePart("button", "YES", "Yes"), peer=ONLY_PHONE)],
    "button_reply": [received(ChoicePart("button", "b1", "Button"), reply_to="wamid.out")],
    "list_reply": [received(ChoicePart("list", "r1", "Row", "first"), reply_to="wamid.out")],
    "flow_reply": [received(ChoicePart("flow", "flow", "Sent", data=dict(FLOW)), reply_to="wamid.out")],
    "flow_reply_broken": [
        received(ChoicePart("flow", "flow", "Sent", data={"response_json": "{oops"}), reply_to="wamid.out")
    ],
    "flow_reply_empty": [received(ChoicePart("flow", "flow", "Sent"), peer=ONLY_PHONE)],
    "call_permission_reply": [
        received(SystemPart("call_permission_reply", "accept", {"response": "accept", "is_permanent": False}))
    ],
    "interactive_without_content": [
        received(UnsupportedPart("interactive", "Something went wrong")),
        ChannelNotice("111", "error", {"code": 131000, "title": "Something went wrong"}, UNKNOWN_TIME),
    ],
    "order": [
        received(OrderPart((OrderItem("sku-1", 2, 9.5, "EUR"), OrderItem("sku-2", 1, 3, "EUR")), "c1", "soon please"))
    ],
    "unsupported": [
        received(
            UnsupportedPart(
                "poll",
                "Message type is not currently supported.",
                {
                    "errors": [
                        {
                            "code": 131051,
                            "title": "Message type unknown",
                            "error_data": {"details": "Message type is not currently supported."},
                        }
                    ],
                    "unsupported": {"type": "poll"},
                },
            )
        )
    ],
    "unsupported_untold": [
        received(
            UnsupportedPart(
                "unsupported",
                "Message type unknown",
                {"errors": [{"code": 131051, "title": "Message type unknown"}]},
            ),
            peer=ONLY_PHONE,
        )
    ],
    "unknown_type": [received(UnsupportedPart("hologram", None, {"hologram": {"id": "h1", "depth": 3}}))],
    "request_welcome": [received(SystemPart("request_welcome"))],
    # How it came.
    "reply": [received(TextPart("yes"), reply_to="wamid.out")],
    "forwarded": [received(TextPart("chain letter"), forwarded=True)],
    "frequently_forwarded": [received(TextPart("chain letter"), forwarded=True)],
    "standby": [received(TextPart("hi"), standby=True)],
    "product_question": [
        received(
            TextPart("still there?"),
            reply_to="wamid.out",
            referral=Referral("product", "sku-1", data={"catalog_id": "c1", "product_retailer_id": "sku-1"}),
        )
    ],
    "ad_referral": [
        received(
            TextPart("hello"),
            referral=Referral(
                "ad",
                "ad-1",
                "clid-1",
                "https://fb.me/x",
                "Sale",
                "Half price",
                {
                    "source_url": "https://fb.me/x",
                    "source_id": "ad-1",
                    "source_type": "ad",
                    "headline": "Sale",
                    "body": "Half price",
                    "media_type": "image",
                    "image_url": "https://example.org/i.jpg",
                    "ctwa_clid": "clid-1",
                    "welcome_message": {"text": "Hi!"},
                },
            ),
        )
    ],
    # What is about another message.
    "reaction": [ReactionChanged("111", "wamid.B", ANN, "👍", SENT_AT)],
    "reaction_removed": [ReactionChanged("111", "wamid.B", ANN, None, SENT_AT)],
    "reaction_emptied": [ReactionChanged("111", "wamid.B", ANN, None, SENT_AT)],
    "edit": [MessageEdited("111", "wamid.B", ANN, (TextPart("new"),), SENT_AT)],
    "revoke": [MessageUnsent("111", "wamid.B", ANN, SENT_AT)],
    # Who somebody is.
    "number_changed": [
        IdentityChanged("111", (PHONE,), (NEW_PHONE,), CHANGED_AT, phone="+15559990000"),
        received(
            SystemPart(
                "user_changed_number",
                "Ann changed the number",
                {"type": "user_changed_number", "wa_id": "15559990000", "body": "Ann changed the number"},
            ),
            external_id="wamid.F",
            peer=Person((NEW_PHONE, PHONE), phone="+15559990000"),
            occurred_at=CHANGED_AT,
            opens_window=False,
        ),
    ],
    "user_id_changed": [
        IdentityChanged("111", (OLD_ID,), (NEW_ID, PHONE), CHANGED_AT),
        received(
            id_changed("new id", body="new id"),
            external_id="wamid.F",
            peer=Person((PHONE, NEW_ID), phone="+15551230001"),
            occurred_at=CHANGED_AT,
            opens_window=False,
        ),
    ],
    "user_id_changed_without_sender": [
        IdentityChanged("111", (OLD_ID,), (NEW_ID,), CHANGED_AT),
        received(
            id_changed(None),
            external_id="wamid.F",
            peer=Person((NEW_ID,)),
            occurred_at=CHANGED_AT,
            opens_window=False,
        ),
    ],
    "user_id_update": [IdentityChanged("111", (OLD_ID,), (NEW_ID, PHONE), CHANGED_AT)],
    "identity_changed": [
        received(
            SystemPart(
                "customer_identity_changed",
                "new key",
                {
                    "type": "customer_identity_changed",
                    "body": "new key",
                    "identity": {"acknowledged": False, "created_timestamp": "1749416383", "hash": "h1"},
                },
            ),
            peer=UNNAMED,
            opens_window=False,
        )
    ],
    # Receipts.
    "status_sent": [status("sent")],
    "status_delivered": [status("delivered")],
    "status_read": [status("read")],
    "status_played": [status("played")],
    "status_without_number": [status("delivered", peer=Person((BSUID,)))],
    "status_group": [status("delivered", peer=GROUP, correlation=None)],
    # What the business did in the phone app.
    "echo": [received(TextPart("from my phone"), external_id="wamid.E", peer=UNNAMED, echo=Echo(), opens_window=False)],
    "echo_reaction": [ReactionChanged("111", "wamid.B", ONLY_PHONE, "👍", SENT_AT, by_business=True)],
    "echo_edit": [MessageEdited("111", "wamid.E0", UNNAMED, (TextPart("corrected"),), SENT_AT, by_business=True)],
    "echo_revoke": [MessageUnsent("111", "wamid.E0", UNNAMED, SENT_AT, by_business=True)],
    # The rest.
    "preference_stop": [
        PreferenceChanged(
            "111",
            ANN,
            "marketing_messages",
            False,
            datetime(2024, 11, 15, 21, 22, 1, tzinfo=UTC),
            "User requested to stop marketing messages",
        )
    ],
    "call": [
        received(
            SystemPart(
                "call",
                "connect",
                {
                    "id": "wacid.1",
                    "from": "15551230001",
                    "to": "15550000001",
                    "event": "connect",
                    "timestamp": "1749416383",
                    "direction": "USER_INITIATED",
                },
            ),
            external_id="wacid.1:connect",
            peer=ONLY_PHONE,
        )
    ],
    "value_errors": [
        ChannelNotice(
            "111",
            "error",
            {"code": 131016, "title": "Service unavailable", "message": "Service unavailable"},
            UNKNOWN_TIME,
        )
    ],
    "template_status": [template(status="rejected", reason="Invalid format.")],
    "template_paused": [template(status="paused", reason="Paused for 3 hours because of low quality.")],
    "template_flagged": [template(reason="Meta will disable the template soon because of low quality.")],
    "template_reinstated": [template(changed=True)],
    "template_deleted": [template(status="other", category="marketing")],
    "template_nameless": [
        ChannelNotice(
            "900",
            "message_template_status_update",
            {"event": "APPROVED", "message_template_id": 7, "waba_id": "900"},
            ENTRY_AT,
        )
    ],
    "template_quality": [template(quality="yellow")],
    "template_category": [template(category="marketing")],
    "template_category_announced": [
        template(category="utility", reason="Meta will change the category of the template to marketing.")
    ],
    "template_components": [template(changed=True)],
    # How the number and the account stand.
    "quality": [
        account(
            "quality",
            "degraded",
            "The quality of the number is low: too many people block or report its messages.",
            display_phone_number="15550000001",
            event="FLAGGED",
            current_limit="TIER_10K",
        )
    ],
    "quality_good_again": [
        account(
            "quality",
            "ok",
            "The quality of the number is good again.",
            display_phone_number="15550000001",
            event="UNFLAGGED",
            current_limit="TIER_10K",
        )
    ],
    "limit_lowered": [
        account(
            "limit",
            "degraded",
            "Meta has lowered the messaging limit of the number. Now 10,000 people a day may be written to.",
            display_phone_number="15550000001",
            event="DOWNGRADE",
            old_limit="TIER_100K",
            current_limit="TIER_10K",
        )
    ],
    "throughput_raised": [
        account(
            "limit",
            None,
            "The number may now send up to 1,000 messages a second.",
            display_phone_number="15550000001",
            event="THROUGHPUT_UPGRADE",
            current_limit="TIER_UNLIMITED",
        )
    ],
    "number_name_rejected": [
        account(
            "name",
            "degraded",
            "Meta has rejected the display name “Shop”. Name category unknown.",
            display_phone_number="15550000001",
            decision="REJECTED",
            requested_verified_name="Shop",
            rejection_reason="NAME_CATEGORY_UNKNOWN",
        )
    ],
    "account_update": [
        account(
            "restriction",
            "paused",
            "Meta has disabled the WhatsApp Business Account.",
            event="DISABLED_UPDATE",
            ban_info={"waba_ban_state": "DISABLE"},
        )
    ],
    "account_reinstated": [
        account(
            "restriction",
            "ok",
            "Meta has reinstated the WhatsApp Business Account.",
            event="DISABLED_UPDATE",
            ban_info={"waba_ban_state": "REINSTATE", "waba_ban_date": "2026-11-22"},
        )
    ],
    "account_restricted": [
        account(
            "restriction",
            "degraded",
            "Meta lets the account answer people, but not write to them first until 2025-12-01.",
            event="ACCOUNT_RESTRICTION",
            restriction_info=[
                {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1764547200},
                {"restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION", "expiration": 1764547200},
            ],
        )
    ],
    "account_silenced": [
        account(
            "restriction",
            "paused",
            "Meta lets the account send nothing.",
            event="ACCOUNT_RESTRICTION",
            restriction_info=[
                {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"},
                {"restriction_type": "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"},
            ],
        )
    ],
    "account_violation": [
        account(
            "policy",
            "degraded",
            "Meta says that the account broke a policy. Adult.",
            event="ACCOUNT_VIOLATION",
            violation_info={"violation_type": "ADULT"},
        )
    ],
    "account_other": [
        ChannelNotice(
            "900",
            "account_update",
            {
                "event": "VOLUME_BASED_PRICING_TIER_UPDATE",
                "volume_tier_info": {"tier": "0:100000"},
                "waba_id": "900",
            },
            ENTRY_AT,
        )
    ],
    "account_alert": [
        account(
            "policy",
            "degraded",
            "The profile picture was removed.",
            entity_type="WABA",
            entity_id="900",
            alert_info={
                "alert_severity": "CRITICAL",
                "alert_status": "ACTIVE",
                "alert_type": "PROFILE_PICTURE_LOST",
                "alert_description": "The profile picture was removed.",
            },
        )
    ],
    "account_review": [
        account("review", "ok", "Meta has approved the WhatsApp Business Account.", decision="APPROVED")
    ],
    "capability": [
        account(
            "limit",
            None,
            "Outside of their windows 2,000 people a day may be written to.",
            max_daily_conversations_per_business=2000,
            max_phone_numbers_per_business=20,
        )
    ],
    "security": [
        account(
            "security",
            None,
            "The two-step verification code of the number was changed.",
            display_phone_number="15550000001",
            event="PIN_CHANGED",
            requester="12345",
        )
    ],
    "group_lifecycle": [
        ChannelNotice(
            "111",
            "group_lifecycle_update",
            {
                "messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550000001", "phone_number_id": "111"},
                "groups": [{"timestamp": 1749416383, "group_id": "120@g.us", "type": "group_create"}],
                "waba_id": "900",
            },
            ENTRY_AT,
        )
    ],
    # What was said before: known to be there, not imported, so that no window opens and nothing counts as unread.
    "history": [
        ChannelNotice(
            "111",
            "history",
            {
                "reason": "What was said in the phone app before the number was connected is not imported.",
                "threads": 1,
                "messages": 1,
                "phase": 0,
                "chunk_order": 1,
                "progress": 10,
            },
            UNKNOWN_TIME,
        )
    ],
    "history_declined": [
        ChannelNotice(
            "111",
            "history",
            {
                "reason": "What was said in the phone app before the number was connected is not imported.",
                "threads": 0,
                "messages": 0,
                "refused": "History sync is turned off by the business",
            },
            ENTRY_AT,
        )
    ],
    "unknown_field": [UnsupportedEvent("900", "brand_new_field:anything", [1, 2], ENTRY_AT)],
}

ELSEWHERE = {
    "status_failed",
    "status_failed_without_recipient",
    "status_deleted",
    "preference_resume",
    "user_actions",
    "app_state_sync",
    "batch",
}


@pytest.mark.parametrize("name", CASES)
def test_a_payload_becomes_these_items(name: str) -> None:
    assert parsed(name) == CASES[name]


def test_every_recorded_payload_is_tested() -> None:
    assert {path.stem for path in DATA.glob("*.json")} == CASES.keys() | ELSEWHERE


def test_a_failed_status_carries_its_fault() -> None:
    [failed] = parsed("status_failed")
    assert isinstance(failed, StatusReported)
    assert failed.fault is not None
    assert (failed.fault.code, failed.fault.provider_code, failed.fault.closes_window) == (
        "window_closed",
        "131047",
        True,
    )
    [unexplained] = parsed("status_failed_without_recipient")
    assert isinstance(unexplained, StatusReported)
    assert unexplained.peer is None
    assert unexplained.fault is not None
    assert unexplained.fault.code == "unknown_error"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("status_deleted", "status:deleted"),
        ("user_actions", "user_action:marketing_messages_link_click"),
        ("app_state_sync", "smb_app_state_sync:state_sync"),
    ],
)
def test_what_has_no_meaning_here_stays_visible(name: str, what: str) -> None:
    [event] = parsed(name)
    assert isinstance(event, UnsupportedEvent)
    assert (event.account_id, event.what) == ("111", what)
    assert event.data


@pytest.mark.parametrize(
    ("action", "what"),
    [
        ({"action_type": "marketing_messages_link_click"}, "user_action:marketing_messages_link_click"),
        ({"type": "marketing_messages_link_click"}, "user_action:marketing_messages_link_click"),
        ({}, "user_action:unnamed"),
    ],
)
def test_an_action_of_a_person_is_named_by_either_spelling(action: JsonObject, what: str) -> None:
    change: JsonObject = {"field": "messages", "value": {"metadata": {"phone_number_id": "111"}}}
    as_object(change["value"])["user_actions"] = [action]
    [event] = parse({"object": "whatsapp_business_account", "entry": [{"id": "9", "changes": [change]}]})
    assert isinstance(event, UnsupportedEvent)
    assert event.what == what


def test_preferences_are_read_one_by_one() -> None:
    resumed, signed_up, unclear = parsed("preference_resume")
    assert isinstance(resumed, PreferenceChanged)
    assert isinstance(signed_up, PreferenceChanged)
    assert (resumed.wanted, resumed.peer) == (True, ONLY_PHONE)
    assert (signed_up.wanted, signed_up.peer) == (True, Person((Address("whatsapp_user", "", "US.5"),)))
    assert isinstance(unclear, UnsupportedEvent)


def test_a_batch_keeps_every_good_item_beside_the_bad_ones_and_routes_by_number() -> None:
    told = [(type(item).__name__, item.account_id, getattr(item, "external_id", None)) for item in parsed("batch")]
    assert told == [
        ("MessageReceived", "111", "wamid.A"),
        ("MessageReceived", "111", "wamid.B"),
        ("UnsupportedEvent", "111", None),
        ("UnsupportedEvent", "111", None),
        ("MessageReceived", "111", "wamid.D"),
        ("StatusReported", "111", "wamid.out"),
        ("MessageReceived", "222", "wamid.Z"),
    ]
    first, second = parsed("batch")[:2]
    assert isinstance(first, MessageReceived)
    assert isinstance(second, MessageReceived)
    assert first.peer == ANN
    assert second.peer.name is None, "the contact of another person was taken"


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("1749416383", SENT_AT),
        (1749416383, SENT_AT),
        (1749416383000, SENT_AT),
        (None, UNKNOWN_TIME),
        ("soon", UNKNOWN_TIME),
        (-5, UNKNOWN_TIME),
        (10**30, UNKNOWN_TIME),
        (True, UNKNOWN_TIME),
        ([], UNKNOWN_TIME),
    ],
)
def test_times_come_in_any_shape(timestamp: object, expected: datetime) -> None:
    payload = orjson.loads((DATA / "text.json").read_bytes())
    payload["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = (
        timestamp if timestamp != 10**30 else float(10**30)
    )
    [message] = PROVIDER.parse(orjson.dumps(payload))
    assert isinstance(message, MessageReceived)
    assert message.occurred_at == expected


@pytest.mark.parametrize(
    ("sender", "contact", "expected"),
    [
        ({"from": "15551230001"}, {"user_id": "US.1"}, ("15551230001", "US.1")),
        ({"from": "15551230001"}, {"wa_id": "15559999999"}, ("15551230001",)),
        ({"from": "+1 (555) 123-0001"}, {}, ("15551230001",)),
        ({"from": 15551230001}, {}, ("15551230001",)),
        (
            {"from": "US.1", "from_user_id": "US.1"},
            {"wa_id": "15551230001", "user_id": "US.1"},
            ("15551230001", "US.1"),
        ),
        ({}, {"wa_id": "15551230001"}, ("15551230001",)),
    ],
    ids=["sole contact completes", "sole contact contradicts", "written phone", "number", "joined by id", "no sender"],
)
def test_addresses_seen_together_stay_together(
    sender: dict[str, object], contact: dict[str, object], expected: tuple[str, ...]
) -> None:
    payload = orjson.loads((DATA / "text_no_contacts.json").read_bytes())
    value = payload["entry"][0]["changes"][0]["value"]
    del value["messages"][0]["from"]
    value["messages"][0].update(sender)
    value["contacts"] = [contact]
    [message] = PROVIDER.parse(orjson.dumps(payload))
    assert isinstance(message, MessageReceived)
    assert tuple(address.value for address in message.peer.addresses) == expected


def test_a_lone_surrogate_and_a_nul_cost_one_character_and_no_message() -> None:
    body = (DATA / "text_no_contacts.json").read_bytes().replace(b'"hi"', rb'"h\ud800i\u0000!"')
    [message] = PROVIDER.parse(body)
    assert isinstance(message, MessageReceived)
    assert message.parts == (TextPart("h\ufffdi!"),)


def test_an_id_too_long_to_be_one_is_not_cut_into_another() -> None:
    payload = orjson.loads((DATA / "text.json").read_bytes())
    payload["entry"][0]["changes"][0]["value"]["messages"][0]["id"] = "w" * 600
    [event] = PROVIDER.parse(orjson.dumps(payload))
    assert isinstance(event, UnsupportedEvent)
    assert event.what == "message:text"


GROUP_AT = datetime(2025, 6, 8, 17, 19, 43, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "told", "name"),
    [
        ("group_lifecycle_update", {"type": "group_create", "subject": "Cycling"}, "Cycling"),
        ("group_lifecycle_update", {"type": "group_create"}, None),
        ("group_lifecycle_update", {"type": "group_delete", "subject": "Cycling"}, None),
        ("group_settings_update", {"group_subject": {"text": "Walking", "update_successful": True}}, "Walking"),
        ("group_settings_update", {"group_subject": {"text": "Walking", "update_successful": False}}, None),
        ("group_settings_update", {"group_description": {"text": "We walk."}}, None),
    ],
)
def test_a_group_is_called_what_its_subject_says(field: str, told: dict[str, Any], name: str | None) -> None:
    group: dict[str, Any] = {"timestamp": 1749403183, "group_id": "120@g.us", "type": "group_settings_update", **told}
    value: JsonObject = {"metadata": {"phone_number_id": "111"}, "groups": [group]}
    notice, *named = parse({"entry": [{"id": "900", "changes": [{"field": field, "value": value}]}]})
    assert isinstance(notice, ChannelNotice)
    person = Person((Address("whatsapp_group", "", "120@g.us"),), name=name, is_group=True)
    assert named == ([PersonNamed("111", person, GROUP_AT)] if name else [])


def test_the_offer_of_a_call_is_not_kept() -> None:
    payload = orjson.loads((DATA / "call.json").read_bytes())
    call = payload["entry"][0]["changes"][0]["value"]["calls"][0]
    call["session"] = {"sdp_type": "offer", "sdp": "a=ice-pwd:secret"}
    [message] = PROVIDER.parse(orjson.dumps(payload))
    assert isinstance(message, MessageReceived)
    assert "secret" not in repr(message)


HEALTHS: list[tuple[str, dict[str, object], str, str | None]] = [
    ("phone_number_quality_update", {"event": "RED"}, "quality", "degraded"),
    ("phone_number_quality_update", {"event": "GREEN"}, "quality", "ok"),
    ("phone_number_quality_update", {"event": "UPGRADE", "current_limit": "TIER_UNLIMITED"}, "limit", "ok"),
    ("phone_number_quality_update", {"event": "ONBOARDING", "current_limit": "TIER_9"}, "limit", None),
    ("phone_number_quality_update", {"event": "THROUGHPUT_DOWNGRADE"}, "limit", None),
    ("phone_number_name_update", {"decision": "APPROVED"}, "name", "ok"),
    ("phone_number_name_update", {"decision": "DEFERRED", "requested_verified_name": "S"}, "name", None),
    ("phone_number_name_update", {"decision": "REJECTED", "rejection_reason": "NONE"}, "name", "degraded"),
    (
        "account_update",
        {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "SCHEDULE_FOR_DISABLE", "waba_ban_date": "x"}},
        "restriction",
        "degraded",
    ),
    ("account_update", {"event": "ACCOUNT_DELETED"}, "restriction", "paused"),
    ("account_update", {"event": "ACCOUNT_OFFBOARDED"}, "restriction", "paused"),
    ("account_update", {"event": "ACCOUNT_RECONNECTED"}, "restriction", "ok"),
    ("account_update", {"event": "PARTNER_REMOVED"}, "restriction", "degraded"),
    ("account_update", {"event": "ACCOUNT_RESTRICTION"}, "restriction", "degraded"),
    (
        "account_update",
        {
            "event": "ACCOUNT_RESTRICTION",
            "restriction_info": [{"restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION"}],
        },
        "restriction",
        None,
    ),
    (
        "account_update",
        {
            "event": "ACCOUNT_RESTRICTION",
            "restriction_info": [{"restriction_type": "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"}],
        },
        "restriction",
        "degraded",
    ),
    (
        "account_update",
        {
            "event": "ACCOUNT_RESTRICTION",
            "restriction_info": [
                {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1764547200},
                {"restriction_type": "RESTRICTED_CUSTOMER_INITIATED_MESSAGING", "expiration": 1764547200},
            ],
        },
        "restriction",
        "degraded",
    ),
    ("account_alerts", {"alert_severity": "INFORMATIONAL", "alert_type": "OBA_APPROVED"}, "policy", None),
    ("account_alerts", {}, "policy", None),
    ("account_review_update", {"decision": "REJECTED"}, "review", "degraded"),
    ("account_review_update", {"decision": "PENDING"}, "review", None),
    ("business_capability_update", {"max_daily_conversation_per_phone": -1}, "limit", None),
    ("business_capability_update", {"max_daily_conversations_per_business": "TIER_1K"}, "limit", None),
    ("business_capability_update", {}, "limit", None),
    ("security", {"event": "PIN_RESET_REQUEST"}, "security", None),
    ("security", {"event": "PIN_RESET_SUCCESS"}, "security", None),
]


def about_the_account(field: str, value: dict[str, object]) -> Inbound:
    change = {"field": field, "value": value}
    body = {"object": OBJECT, "entry": [{"id": "900", "time": 1739212624, "changes": [change]}]}
    [item] = PROVIDER.parse(orjson.dumps(body))
    return item


@pytest.mark.parametrize(("field", "value", "aspect", "health"), HEALTHS)
def test_what_is_said_of_the_account_means_this_for_sending(
    field: str, value: dict[str, object], aspect: str, health: str | None
) -> None:
    changed = about_the_account(field, value)
    assert isinstance(changed, AccountChanged)
    assert (changed.account_id, changed.aspect, changed.health) == ("900", aspect, health)
    assert changed.reason
    assert changed.reason.endswith(".")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone_number_quality_update", {"event": "SHINED"}),
        ("phone_number_name_update", {"decision": 7}),
        ("account_update", {}),
        ("account_update", {"event": "DISABLED_UPDATE", "ban_info": [1]}),
        ("account_review_update", {"decision": "UNSEEN"}),
        ("security", {"event": None}),
        ("message_template_quality_update", {"new_quality_score": "RED"}),
        ("business_username_updates", {"username": "shop"}),
    ],
)
def test_what_changes_nothing_of_ours_is_a_notice(field: str, value: dict[str, object]) -> None:
    notice = about_the_account(field, value)
    assert isinstance(notice, ChannelNotice)
    assert (notice.account_id, notice.topic, notice.data["waba_id"]) == ("900", field, "900")


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("APPROVED", "approved"),
        ("PENDING", "pending"),
        ("IN_APPEAL", "pending"),
        ("DISABLED", "disabled"),
        ("LIMIT_EXCEEDED", "other"),
        ("ARCHIVED", "other"),
        ("BRAND_NEW", "other"),
        ("FLAGGED", None),
    ],
)
def test_every_event_of_a_template_is_a_state(event: str, status: str | None) -> None:
    value: dict[str, object] = {
        "event": event,
        "message_template_id": 7,
        "message_template_name": "order_update",
        "message_template_language": "en_US",
    }
    changed = about_the_account("message_template_status_update", value)
    assert isinstance(changed, TemplateChanged)
    assert (changed.status, changed.changed) == (status, False)
