"""Every kind of Instagram webhook, of both stacks, as the events it must become."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.content import (
    ChoicePart,
    MediaPart,
    MediaRef,
    Part,
    SharePart,
    StoryPart,
    SystemPart,
    TextPart,
    UnsupportedPart,
)
from channels.inbound import (
    ChannelNotice,
    Echo,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    ReactionChanged,
    Referral,
    StatusReported,
    UnsupportedEvent,
)
from channels.instagram.parse import parse
from channels.types import Address, Person
from channels.wire import decode

DATA = Path(__file__).parents[2] / "data" / "instagram"
ACCOUNT = "17841"
AT = datetime(2024, 10, 27, 3, 33, 20, tzinfo=UTC)
ENTRY_AT = AT.replace(microsecond=123000)
LINK = "https://lookaside.example/ig_messaging_cdn/?asset_id=1&signature=x"
ANN = Person((Address("instagram_user", ACCOUNT, "5005"),))
TESTER = Person((Address("instagram_user", "23245", "12334"),))
REF = {"ref": "bio", "source": "SHORTLINKS", "type": "OPEN_THREAD"}
ADVERT = {
    "ref": "r1",
    "ad_id": "6045",
    "source": "ADS",
    "type": "OPEN_THREAD",
    "ads_context_data": {"ad_title": "Sale"},
}
TEST_EVENT = MessageReceived(
    "23245", "random_mid", TESTER, (TextPart("random_text"),), datetime(2018, 5, 27, 22, 23, 44, tzinfo=UTC)
)
ITEM = {"sender": {"id": "5005"}, "recipient": {"id": ACCOUNT}, "timestamp": 1730000000000}


def load(name: str) -> Any:
    return decode((DATA / f"{name}.json").read_bytes())


def received(*parts: Part, mid: str = "m_1", **changes: Any) -> MessageReceived:
    return MessageReceived(ACCOUNT, mid, ANN, parts, AT, **changes)


def media(kind: Any) -> MessageReceived:
    return received(MediaPart(kind, MediaRef(url=LINK)))


def announced(count: int | str) -> UnsupportedEvent:
    raw: Any = {"timestamp": 1730000000000, "message_edit": {"mid": "m_1", "num_edit": count}}
    return UnsupportedEvent(ACCOUNT, "message_edit.num_edit_0", raw, AT, harmless=True)


CASES: dict[str, list[Inbound]] = {
    "text": [received(TextPart("hi"))],
    "text_string_timestamp": [received(TextPart("hi"))],
    "reply": [received(TextPart("yes"), reply_to="m_prev")],
    "story_reply": [received(StoryPart("reply", LINK, "178"), TextPart("wow"))],
    "story_reply_expired": [received(StoryPart("reply", None, "178"), TextPart("wow"))],
    "story_mention": [received(StoryPart("mention", LINK))],
    "quick_reply": [received(TextPart("Yes"), ChoicePart("quick_reply", "Y", "Yes"))],
    "image": [media("image")],
    "video": [media("video")],
    "audio": [media("audio")],
    "file": [media("document")],
    "media": [media("document")],
    "sticker": [media("sticker")],
    "share": [received(SharePart("share", LINK))],
    "post": [received(SharePart("post", LINK, "A post", "31"))],
    "ig_post": [received(SharePart("ig_post", LINK, "A post", "32"))],
    "reel": [received(SharePart("reel", LINK, "A reel", "33"))],
    "ig_reel": [received(SharePart("ig_reel", LINK, None, "34"))],
    "story": [received(SharePart("story", LINK, None, "35"))],
    "ig_story": [received(SharePart("ig_story", LINK, None, "36"))],
    "like_heart": [received(MediaPart("sticker", None, emoji="❤️"))],
    "ephemeral": [
        received(
            UnsupportedPart("ephemeral", "View-once content: Instagram gives no way to it", {"type": "ephemeral"}),
        )
    ],
    "template": [received(SharePart("generic", None, "One"))],
    "fallback": [received(SharePart("link", "https://example.com/", "X"))],
    "attachment_unknown": [
        received(UnsupportedPart("avatar", data={"type": "avatar", "payload": {"url": LINK}})),
    ],
    "unsupported": [received(UnsupportedPart("is_unsupported", "The provider does not pass this content on"))],
    "unsupported_string_flag": [
        received(UnsupportedPart("is_unsupported", "The provider does not pass this content on")),
    ],
    "unsend": [MessageUnsent(ACCOUNT, "m_1", ANN, AT)],
    "unsend_echo": [MessageUnsent(ACCOUNT, "m_1", ANN, AT, by_business=True)],
    "echo": [received(TextPart("hello"), mid="m_e1", echo=Echo(), opens_window=False)],
    "echo_inbox": [
        received(TextPart("hello"), mid="m_e2", echo=Echo(None, "1217981644879628"), opens_window=False),
    ],
    "self": [
        UnsupportedEvent(
            ACCOUNT,
            "message.is_self",
            {
                "sender": {"id": ACCOUNT},
                "recipient": {"id": ACCOUNT},
                "timestamp": 1730000000000,
                "message": {"mid": "m_1", "text": "note", "is_self": True, "is_echo": True},
            },
            AT,
        )
    ],
    "ad_message": [
        received(TextPart("hi"), referral=Referral("ad", id="6045", ref="r1", headline="Sale", data=ADVERT)),  # type: ignore[arg-type]
    ],
    "product_message": [
        received(TextPart("this?"), referral=Referral("product", id="77", data={"product": {"id": "77"}})),
    ],
    "reaction": [ReactionChanged(ACCOUNT, "m_out", ANN, "🔥", AT)],
    "reaction_other": [ReactionChanged(ACCOUNT, "m_out", ANN, "🫶", AT)],
    "reaction_named": [ReactionChanged(ACCOUNT, "m_out", ANN, "❤️", AT)],
    "unreact": [ReactionChanged(ACCOUNT, "m_out", ANN, None, AT)],
    "postback_referral": [
        received(
            ChoicePart("postback", "HOURS", "Hours?"),
            mid="m_pb",
            referral=Referral("shortlink", ref="bio", data=REF),  # type: ignore[arg-type]
        )
    ],
    "postback": [received(ChoicePart("postback", "HOURS", "Hours?"), mid="m_pb")],
    "referral": [
        received(
            SystemPart("referral", "bio", data=REF),  # type: ignore[arg-type]
            mid="referral:f10a1c81f1e6916b41d3bd5b0c54e4a95a15bdb8",
            referral=Referral("shortlink", ref="bio", data=REF),  # type: ignore[arg-type]
        )
    ],
    "referral_shortlink": [
        received(
            SystemPart("referral", "bio", data={**REF, "source": "SHORTLINK"}),
            mid="referral:714ec87eb84f0439ff1f2496ff471062078a222e",
            referral=Referral("shortlink", ref="bio", data={**REF, "source": "SHORTLINK"}),
        )
    ],
    "read_without_sender": [StatusReported(ACCOUNT, "m_out", "read", AT)],
    "read": [StatusReported(ACCOUNT, "m_out", "read", AT, peer=ANN)],
    "edit": [MessageEdited(ACCOUNT, "m_1", ANN, (TextPart("hi!"),), AT)],
    "edit_string_count": [MessageEdited(ACCOUNT, "m_1", ANN, (TextPart("hi!"),), AT)],
    "edit_without_sender": [MessageEdited(ACCOUNT, "m_1", None, (TextPart("hi!"),), AT)],
    "edit_zero": [announced(0)],
    "edit_zero_string": [announced("0")],
    "pass_thread_control": [
        ChannelNotice(ACCOUNT, "pass_thread_control", {"new_owner_app_id": "123", "peer": "5005"}, AT),
    ],
    "take_thread_control": [
        ChannelNotice(ACCOUNT, "take_thread_control", {"previous_owner_app_id": "456", "peer": "5005"}, AT),
    ],
    "request_thread_control": [
        ChannelNotice(ACCOUNT, "request_thread_control", {"requested_owner_app_id": "123", "peer": "5005"}, AT),
    ],
    "unknown_event": [UnsupportedEvent(ACCOUNT, "typing", {**ITEM, "typing": {"on": True}}, AT)],  # type: ignore[dict-item]
    "standby": [received(TextPart("hi"), standby=True)],
    "standby_echo": [
        received(TextPart("hello"), mid="m_e2", echo=Echo(None, "1217981644879628"), standby=True, opens_window=False)
    ],
    "echo_entry_id_of_customer": [received(TextPart("hello"), mid="m_e1", echo=Echo(), opens_window=False)],
    "entry_id_of_customer": [received(TextPart("hi"))],
    "dashboard_test_change": [TEST_EVENT],
    "dashboard_test_item": [TEST_EVENT],
    "comment_change": [
        UnsupportedEvent(
            ACCOUNT,
            "comments",
            {"field": "comments", "value": {"id": "9", "text": "nice", "from": {"id": "5005"}}},
            ENTRY_AT,
        )
    ],
    "comment_flat_in_entry": [
        UnsupportedEvent(
            ACCOUNT,
            "comments",
            {"id": ACCOUNT, "time": 1730000000123, "field": "comments", "value": {"id": "9", "text": "nice"}},
            ENTRY_AT,
        )
    ],
    "comment_flat_beside_entry": [
        UnsupportedEvent(ACCOUNT, "entry", {"id": ACCOUNT, "time": 1730000000123}, ENTRY_AT),
        UnsupportedEvent(
            None,
            "comments",
            {
                "object": "instagram",
                "entry": [{"id": ACCOUNT, "time": 1730000000123}],
                "field": "comments",
                "value": {"id": "9", "text": "nice"},
            },
        ),
    ],
    "batch_two_accounts": [
        received(TextPart("a")),
        MessageReceived("17842", "m_2", Person((Address("instagram_user", "17842", "6006"),)), (TextPart("b"),), AT),
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_body_becomes(name: str) -> None:
    assert parse(load(name)) == CASES[name]


def test_every_recorded_body_has_its_expectation() -> None:
    assert {path.stem for path in DATA.glob("*.json")} == set(CASES)


def test_a_story_link_is_kept_but_nothing_of_it_is_media() -> None:
    """What is a ``MediaPart`` is fetched and stored, and Instagram forbids that for stories."""
    for name in ("story_reply", "story_mention", "story", "ig_story"):
        (event,) = parse(load(name))
        assert isinstance(event, MessageReceived)
        assert not [part for part in event.parts if isinstance(part, MediaPart)]


def test_messenger_only_events_stay_visible() -> None:
    item = {**ITEM, "optin": {"ref": "x"}, "delivery": {"watermark": 1}}
    body: Any = {"object": "instagram", "entry": [{"id": ACCOUNT, "messaging": [item]}]}
    found = parse(body)
    assert [event.what for event in found if isinstance(event, UnsupportedEvent)] == ["optin", "delivery"]


WORDS = """
    id time messaging standby changes field value sender recipient timestamp message mid text is_echo is_deleted
    is_unsupported is_self app_id attachments type payload url title reply_to story quick_reply referral ref
    source ad_id ads_context_data product generic elements message_edit num_edit reaction action emoji postback
    read pass_thread_control share story_mention like_heart ephemeral template
"""
KEYS = st.sampled_from(WORDS.split())
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**18, 10**40)
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | KEYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6), TREES)
def test_parsing_never_raises_and_never_answers_nothing(keys: dict[str, Any], tree: Any) -> None:
    entries = [{"id": ACCOUNT, "messaging": [{**ITEM, **keys}]}, {"id": ACCOUNT, "messaging": tree}, keys, tree]
    for entry in entries:
        found = parse(decode(json.dumps({"object": "instagram", "entry": [entry]}).encode()))  # type: ignore[arg-type]
        assert found or entry == {"id": ACCOUNT, "messaging": []}
        assert not [event for event in found if isinstance(event, UnsupportedEvent) and ":unparsed" in event.what]
