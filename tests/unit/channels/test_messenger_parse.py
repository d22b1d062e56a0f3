"""Every kind of Messenger webhook as the events it must become; hostile shapes cost nothing but themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.content import (
    ChoicePart,
    LocationPart,
    MediaPart,
    MediaRef,
    OrderItem,
    OrderPart,
    Part,
    SharePart,
    SystemPart,
    TextPart,
    UnsupportedPart,
)
from channels.inbound import (
    AccountChanged,
    ChannelNotice,
    Echo,
    Inbound,
    MessageEdited,
    MessageReceived,
    PreferenceChanged,
    ReactionChanged,
    Referral,
    StatusReported,
    StatusUpTo,
    UnsupportedEvent,
)
from channels.messenger.parse import parse
from channels.types import Address, Person
from channels.wire import UNKNOWN_TIME, decode

DATA = Path(__file__).parents[2] / "data" / "messenger"
PAGE = "1001"
AT = datetime(2024, 10, 27, 3, 33, 20, tzinfo=UTC)
ENTRY_AT = AT.replace(microsecond=123000)
WATERMARK = datetime(2024, 10, 27, 3, 33, 19, tzinfo=UTC)
CDN = "https://scontent.example/v/file?oh=1&oe=2"
ANN = Person((Address("messenger_user", PAGE, "2002"),))
REFERENCE = Person((Address("messenger_ref", PAGE, "UR-9"),))
ADVERT: Any = {
    "ref": "r1",
    "source": "ADS",
    "type": "OPEN_THREAD",
    "ad_id": "6045",
    "ads_context_data": {"ad_title": "Sale"},
}
LINK: Any = {"ref": "spring", "source": "SHORTLINK", "type": "OPEN_THREAD"}


def load(name: str) -> Any:
    return decode((DATA / f"{name}.json").read_bytes())


def received(*parts: Part, mid: str = "m_1", **changes: Any) -> MessageReceived:
    return MessageReceived(PAGE, mid, ANN, parts, AT, **changes)


def media(kind: Any, url: str | None = CDN) -> MediaPart:
    return MediaPart(kind, MediaRef(url=url) if url else None)


def policy(action: str, health: Any, sentence: str, reason: str | None = None) -> AccountChanged:
    data = {"action": action} if reason is None else {"action": action, "reason": reason}
    return AccountChanged(PAGE, "policy", AT, health, sentence, data)  # type: ignore[arg-type]


def notice(topic: str, data: Any) -> ChannelNotice:
    return ChannelNotice(PAGE, topic, data, AT)


CASES: dict[str, list[Inbound]] = {
    "text": [received(TextPart("hi"))],
    "text_string_timestamp": [received(TextPart("hi"))],
    "reply_to_own_message": [received(TextPart("and this"), reply_to="m_0")],
    "like_sticker": [received(media("sticker"))],
    "text_emoji": [received(TextPart("grüße 👋🏽"))],
    "reply": [received(TextPart("yes"), reply_to="m_prev")],
    "quick_reply": [received(TextPart("Yes"), ChoicePart("quick_reply", "Y", "Yes"))],
    "commands": [received(TextPart("/flight"), SystemPart("commands", data={"commands": [{"name": "flight"}]}))],
    "image": [received(media("image"))],
    "images_with_text": [received(TextPart("two"), media("image"), media("image", CDN + "&n=2"))],
    "audio": [received(media("audio"))],
    "video": [received(media("video"))],
    "file": [received(media("document"))],
    "image_without_url": [received(media("image", None))],
    "sticker_before_2026_08_30": [received(media("sticker"))],
    "sticker_after_2026_08_30": [received(media("sticker"))],
    "fallback": [
        received(TextPart("https://example.com/a"), SharePart("link", "https://example.com/a", "A page")),
    ],
    "fallback_old": [received(SharePart("link", "https://example.com/a", "A page"))],
    "location": [received(LocationPart(48.2082, 16.3738, "Ann's location", url="https://maps.example/x"))],
    "location_broken": [
        received(
            UnsupportedPart(
                "location", data={"type": "location", "payload": {"coordinates": {"lat": "north", "long": 16.3}}}
            )
        )
    ],
    "template_product": [received(SharePart("product", "https://img.example/1.jpg", "Shoe", "77"))],
    "template_generic": [
        received(
            SharePart("generic", "https://example.com/1", "One"),
            SharePart("generic", None, "Two"),
            echo=Echo(),
            opens_window=False,
        )
    ],
    "template_button": [received(TextPart("Choose"), echo=Echo(), opens_window=False)],
    "reel": [received(SharePart("reel", "https://www.facebook.com/reel/555", "A reel", "555"))],
    "ig_reel": [received(SharePart("ig_reel", "https://www.instagram.com/reel/x/", None, "556"))],
    "post": [received(SharePart("post", "https://www.facebook.com/p/1", "A post", "901"))],
    "ig_post": [received(SharePart("ig_post", "https://www.instagram.com/p/y/"))],
    "appointment_booking": [
        received(
            SystemPart("appointment_booking", "Haircut", data={"title": "Haircut", "start_time": 1730100000}),
        )
    ],
    "attachment_unknown": [received(UnsupportedPart("hologram", data={"type": "hologram", "payload": {"url": CDN}}))],
    "message_unknown": [received(UnsupportedPart("message", data={"mid": "m_1", "poll": {"question": "?"}}))],
    "ad_message": [
        received(
            TextPart("hi"),
            referral=Referral(
                "ad",
                id="6045",
                ref="r1",
                headline="Sale",
                data={
                    "ref": "r1",
                    "ad_id": "6045",
                    "source": "ADS",
                    "type": "OPEN_THREAD",
                    "ads_context_data": {"ad_title": "Sale", "post_id": "1_2"},
                },
            ),
        )
    ],
    "product_message": [
        received(TextPart("this?"), referral=Referral("product", id="77", data={"product": {"id": "77"}})),
    ],
    "echo_own": [
        received(TextPart("hello"), mid="m_e1", echo=Echo("d-42", "517793545788330"), opens_window=False),
    ],
    "echo_inbox": [received(TextPart("hello"), mid="m_e2", echo=Echo(None, "26390203743090"), opens_window=False)],
    "edit": [MessageEdited(PAGE, "m_1", ANN, (TextPart("hi!"),), AT)],
    "edit_string_count": [MessageEdited(PAGE, "m_1", ANN, (TextPart("hi!"),), AT)],
    "edit_by_page": [MessageEdited(PAGE, "m_o1", ANN, (TextPart("hello!"),), AT, by_business=True)],
    "reaction_by_page": [ReactionChanged(PAGE, "m_1", ANN, "👍", AT, by_business=True)],
    "reaction": [ReactionChanged(PAGE, "m_out", ANN, "❤", AT, opens_window=True)],
    "reaction_named": [ReactionChanged(PAGE, "m_out", ANN, "😮", AT, opens_window=True)],
    "unreact": [ReactionChanged(PAGE, "m_out", ANN, None, AT)],
    "postback": [
        received(
            ChoicePart("postback", "START", "Get Started"),
            mid="m_pb",
            referral=Referral("shortlink", ref="spring", data=LINK),
        )
    ],
    "postback_without_mid": [
        received(
            ChoicePart("postback", "START", "Get Started"), mid="postback:685e1106b2850b967c06565744ad39e98204b1b5"
        )
    ],
    "referral": [
        received(
            SystemPart("referral", "spring", data={**LINK, "referer_uri": "https://example.com/"}),
            mid="referral:4831d1f2e2523f27b8db5bf93d13423ac0390b71",
            referral=Referral(
                "shortlink",
                ref="spring",
                url="https://example.com/",
                data={**LINK, "referer_uri": "https://example.com/"},
            ),
        )
    ],
    "referral_ad": [
        received(
            SystemPart("referral", "r1", data=ADVERT),
            mid="referral:c95ca9edbdf2675534b269a83ce37518951f0e3d",
            referral=Referral("ad", id="6045", ref="r1", headline="Sale", data=ADVERT),
        )
    ],
    "optin_ref": [
        received(
            SystemPart("optin", "box-1", data={"ref": "box-1"}),
            mid="optin:2e02510731e12ad0755e4551d9f000f8877755a3",
            referral=Referral("optin", ref="box-1", data={"source": "optin", "ref": "box-1"}),
        )
    ],
    "optin_user_ref": [
        MessageReceived(
            PAGE,
            "optin:f0191145451406a7ae325ade3de33bf086ad0460",
            REFERENCE,
            (SystemPart("optin", "box-1", data={"ref": "box-1", "user_ref": "UR-9"}),),
            AT,
            referral=Referral("optin", ref="box-1", data={"source": "optin", "ref": "box-1", "user_ref": "UR-9"}),
        )
    ],
    # The token that would allow sending is left out, also where nobody is named.
    "optin_without_person": [
        UnsupportedEvent(
            PAGE,
            "optin",
            {
                "recipient": {"id": PAGE},
                "timestamp": 1730000000000,
                "optin": {"type": "notification_messages", "notification_messages_status": "RESUME_NOTIFICATIONS"},
            },
            AT,
        )
    ],
    "optin_stop": [PreferenceChanged(PAGE, ANN, "marketing_messages", False, AT, "News")],
    "optin_resume": [PreferenceChanged(PAGE, ANN, "marketing_messages", True, AT, "News")],
    "message_user_ref": [MessageReceived(PAGE, "m_1", REFERENCE, (TextPart("hi"),), AT)],
    "delivery": [
        StatusReported(PAGE, "m_o1", "delivered", ENTRY_AT, peer=ANN),
        StatusReported(PAGE, "m_o2", "delivered", ENTRY_AT, peer=ANN),
        StatusUpTo(PAGE, ANN, "delivered", WATERMARK, ENTRY_AT),
    ],
    "delivery_watermark": [StatusUpTo(PAGE, ANN, "delivered", WATERMARK, AT)],
    "read": [StatusUpTo(PAGE, ANN, "read", WATERMARK, AT)],
    "pass_thread_control": [
        notice(
            "pass_thread_control",
            {"new_owner_app_id": "123", "previous_owner_app_id": "456", "metadata": "x", "peer": "2002"},
        )
    ],
    "take_thread_control": [notice("take_thread_control", {"previous_owner_app_id": "456", "peer": "2002"})],
    "request_thread_control": [notice("request_thread_control", {"requested_owner_app_id": "123", "peer": "2002"})],
    "app_roles": [notice("app_roles", {"123": ["primary_receiver"]})],
    "policy_enforcement": [
        policy("block", "paused", "Meta keeps this Page from sending because of its policies. Meta says: spam", "spam"),
    ],
    "policy_warning": [policy("warning", "degraded", "Meta warns this Page because of its policies.")],
    "policy_unblock": [policy("unblock", "ok", "Meta lets this Page send again.")],
    "policy_unknown": [policy("review", None, "Meta judged this Page by its policies.")],
    "account_linking": [notice("account_linking", {"status": "linked", "peer": "2002"})],
    "response_feedback": [notice("response_feedback", {"feedback": "Good", "mid": "m_o1", "peer": "2002"})],
    "inbox_labels": [
        notice("inbox_labels", {"action": "add", "label": {"id": "1", "page_label_name": "vip"}, "peer": "2002"})
    ],
    "order": [
        received(
            OrderPart((OrderItem("sku-1", 2.0, 50.0, "EUR"),), text="gift"),
            mid="order:edde2af6f39d22e2422b99369b5ad2403f8a9ab1",
        )
    ],
    "standby": [received(TextPart("hi"), standby=True)],
    "standby_echo": [
        received(TextPart("hello"), mid="m_e1", echo=Echo(None, "26390203743090"), standby=True, opens_window=False)
    ],
    "seconds": [
        MessageReceived(
            PAGE,
            "referral:a65efc652aaf9093d077ad2484dc83dff25f00e8",
            ANN,
            (SystemPart("referral", "r", data={"ref": "r", "source": "SHORTLINK", "type": "OPEN_THREAD"}),),
            WATERMARK,
            referral=Referral("shortlink", ref="r", data={"ref": "r", "source": "SHORTLINK", "type": "OPEN_THREAD"}),
        )
    ],
    "feed_change": [
        UnsupportedEvent(PAGE, "feed", {"field": "feed", "value": {"item": "status", "verb": "add"}}, ENTRY_AT),
    ],
    "unknown_event": [
        UnsupportedEvent(
            PAGE,
            "game_play",
            {
                "sender": {"id": "2002"},
                "recipient": {"id": PAGE},
                "timestamp": 1730000000000,
                "game_play": {"game_id": "1"},
            },
            AT,
        )
    ],
    "batch_mixed": [
        received(TextPart("a")),
        UnsupportedEvent(PAGE, "messaging", "garbage"),
        UnsupportedEvent(
            PAGE,
            "message",
            {"sender": {"id": "2002"}, "recipient": {"id": PAGE}, "timestamp": 1730000000000, "message": [1]},
            AT,
        ),
        received(TextPart("b"), mid="m_2"),
        MessageReceived("1002", "m_3", Person((Address("messenger_user", "1002", "3003"),)), (TextPart("c"),), AT),
        UnsupportedEvent("1003", "entry", {"id": "1003"}),
        UnsupportedEvent(None, "entry", 7),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_body_becomes(name: str) -> None:
    assert parse(load(name)) == CASES[name]


def test_every_recorded_body_has_its_expectation() -> None:
    assert {path.stem for path in DATA.glob("*.json")} == set(CASES)


def item(**keys: Any) -> dict[str, Any]:
    return {
        "object": "page",
        "entry": [{"id": PAGE, "messaging": [{"sender": {"id": "2002"}, "recipient": {"id": PAGE}, **keys}]}],
    }


def test_made_up_ids_are_stable_under_redelivery_and_differ_by_person_time_and_payload() -> None:
    def id_of(payload: Any, timestamp: int = 1, sender: str = "2002") -> str:
        (event,) = parse(item(timestamp=timestamp, postback=payload, sender={"id": sender}))
        assert isinstance(event, MessageReceived)
        return event.external_id

    first = id_of({"title": "A", "payload": "P"})
    assert id_of({"payload": "P", "title": "A"}) == first
    others = {
        id_of({"title": "A", "payload": "Q"}),
        id_of({"title": "A", "payload": "P"}, timestamp=2),
        id_of({"title": "A", "payload": "P"}, sender="2003"),
    }
    assert len(others | {first}) == 4


def test_a_message_without_any_time_is_as_old_as_can_be() -> None:
    (event,) = parse(item(message={"mid": "m_1", "text": "hi"}))
    assert isinstance(event, MessageReceived)
    assert event.occurred_at == UNKNOWN_TIME


@pytest.mark.parametrize(
    ("label", "keys"),
    [
        ("reaction without mid", {"reaction": {"action": "react", "emoji": "x"}}),
        ("reaction with unknown action", {"reaction": {"mid": "m", "action": "shrug"}}),
        ("reaction without emoji", {"reaction": {"mid": "m", "action": "react"}}),
        ("edit without text", {"message_edit": {"mid": "m", "num_edit": 1}}),
        ("edit without mid", {"message_edit": {"text": "x", "num_edit": 1}}),
        ("read without anything", {"read": {}}),
        ("delivery without anything", {"delivery": {"mids": [None, []]}}),
        ("postback without anything", {"postback": {}}),
        ("message without person", {"message": {"mid": "m", "text": "x"}, "sender": {}}),
        ("event that is no object", {"postback": "P"}),
    ],
)
def test_what_cannot_be_read_is_kept_as_an_event(label: str, keys: dict[str, Any]) -> None:
    body = item(**keys)
    (event,) = parse(body)
    assert isinstance(event, UnsupportedEvent), label
    assert event.account_id == PAGE
    assert event.data == body["entry"][0]["messaging"][0]


@pytest.mark.parametrize("body", [{}, {"entry": None}, {"entry": []}, {"entry": "x"}, {"entry": [[]]}, {"entry": {}}])
def test_a_body_without_items_is_kept(body: Any) -> None:
    (event,) = parse(body)
    assert isinstance(event, UnsupportedEvent)


def test_two_events_in_one_item_are_both_read() -> None:
    found = parse(item(message={"mid": "m_1", "text": "hi"}, read={"watermark": 1730000000000}, novelty=1))
    assert [type(event) for event in found] == [MessageReceived, StatusUpTo, UnsupportedEvent]


def test_an_order_with_an_unreadable_product_is_shown_as_it_came() -> None:
    order: Any = {"products": [{"retailer_id": "a", "quantity": 1}, {"name": "no id"}]}
    (event,) = parse(item(timestamp=1730000000000, order=order))
    assert isinstance(event, MessageReceived)
    assert event.parts == (SystemPart("order", data=order),)


WORDS = """
    object entry id time messaging standby changes field value sender recipient timestamp user_ref message
    mid text is_echo is_deleted is_unsupported is_self app_id metadata attachments type payload url title
    sticker_id reply_to story quick_reply referral ref source ad_id ads_context_data product elements
    coordinates lat long commands message_edit num_edit reaction action emoji postback optin delivery mids
    watermark read order products quantity app_roles policy_enforcement image location template fallback
"""
KEYS = st.sampled_from(WORDS.split())
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**18, 10**40)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.sampled_from(["react", "unreact", "1730000000000", "image", "location", "template", "notification_messages"])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=30
)


def as_received(raw: Any) -> Any:
    return decode(json.dumps(raw).encode())


@settings(max_examples=200, deadline=None)
@given(TREES, st.dictionaries(KEYS, TREES, max_size=6))
def test_parsing_never_raises_and_never_answers_nothing(tree: Any, keys: dict[str, Any]) -> None:
    assert parse(as_received({"object": "page", "entry": tree}))
    found = parse(as_received(item(**keys) if keys else item(message=tree)))
    assert found
    # Nor does it lean on the net below it, which turns what a parser raises into this.
    assert not [event for event in found if isinstance(event, UnsupportedEvent) and event.what.endswith(":unparsed")]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_neighbours_of_a_hostile_item_survive_and_all_of_it_can_be_stored(keys: dict[str, Any]) -> None:
    good = {
        "sender": {"id": "2002"},
        "recipient": {"id": PAGE},
        "timestamp": 1730000000000,
        "message": {"mid": "m_1", "text": "hi"},
    }
    found = parse(as_received({"object": "page", "entry": [{"id": PAGE, "messaging": [good, keys, good]}]}))
    assert found[0] == received(TextPart("hi")) == found[-1]
    assert b"\\u0000" not in orjson.dumps(found)
