"""Every update kind and content of channel facts 4.2 as recorded shapes, and bytes nobody should send."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.adapter import WebhookSecrets
from channels.content import (
    ChoicePart,
    ContactCard,
    ContactsPart,
    Entity,
    LocationPart,
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
    IdentityChanged,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    ReachabilityChanged,
    ReactionChanged,
    Referral,
    UnsupportedEvent,
)
from channels.telegram.parse import UPDATES
from channels.telegram.provider import TelegramProvider
from channels.types import Address, Person
from channels.wire import UNKNOWN_TIME

DATA = Path(__file__).parents[2] / "data" / "telegram"
BOT = "777"
SENT = datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)
LATER = datetime(2025, 6, 8, 21, 0, 43, tzinfo=UTC)
ANN = Person((Address("telegram_user", "", "42"),), "Ann Lee", "Ann", "Lee", "ann", "en")
ANN_OF_C1 = Person(
    (Address("telegram_user", "", "42"), Address("telegram_business", "c1", "42")), "Ann Lee", "Ann", "Lee", "ann", "en"
)
ANN_OF_C1_CHAT = Person(ANN_OF_C1.addresses, "Ann Lee", "Ann", "Lee", "ann")
SUPERGROUP = Address("telegram_chat", "", "-1001234567890")
SUPPORT = Person((SUPERGROUP,), "Support", username="support_chat", is_group=True)


def parse(body: bytes) -> list[Inbound]:
    return TelegramProvider().parse(body, account_id=BOT)


def parse_file(name: str) -> list[Inbound]:
    return parse((DATA / f"{name}.json").read_bytes())


def only_message(name: str) -> MessageReceived:
    [item] = parse_file(name)
    assert isinstance(item, MessageReceived)
    return item


PARTS: dict[str, tuple[Part, ...]] = {
    "photo": (
        MediaPart(
            "image",
            MediaRef("large", mime_type="image/jpeg", size=90000, width=1280, height=853),
            "Look",
            (Entity("italic", 0, 4),),
        ),
    ),
    "live_photo": (
        MediaPart("image", MediaRef("large", mime_type="image/jpeg", size=90000, width=1280, height=853), "Moves"),
        MediaPart(
            "video", MediaRef("live", mime_type="video/mp4", size=200000, width=1280, height=853, duration=3.0)
        ),
    ),
    "animation": (
        MediaPart(
            "animation",
            MediaRef(
                "anim", mime_type="video/mp4", size=5000, filename="cat.mp4", width=320, height=240, duration=4.0
            ),
            "cat",
        ),
    ),
    "video": (
        MediaPart(
            "video",
            MediaRef("vid", mime_type="video/mp4", size=70000, filename="v.mp4", width=640, height=360, duration=12.0),
        ),
    ),
    "audio": (
        MediaPart("audio", MediaRef("aud", mime_type="audio/mpeg", size=3000000, filename="s.mp3", duration=200.0)),
    ),
    "voice": (MediaPart("voice", MediaRef("voi", mime_type="audio/ogg", size=9000, duration=5.0)),),
    "video_note": (
        MediaPart("video_note", MediaRef("note", None, "video/mp4", 12000, width=240, height=240, duration=6.0)),
    ),
    "document": (MediaPart("document", MediaRef("doc", None, "application/pdf", 4000, filename="cv.pdf"), "CV"),),
    "sticker": (
        MediaPart("sticker", MediaRef("stk", None, "application/x-tgsticker", width=512, height=512), emoji="😀"),
    ),
    "sticker_video": (MediaPart("sticker", MediaRef("stk", None, "video/webm", width=512, height=512)),),
    "location": (LocationPart(52.5, 13.4, live_seconds=900),),
    "venue": (LocationPart(52.5, 13.4, "Cafe", "Main St 1"),),
    "contact_own": (
        ContactsPart((ContactCard("Ann Lee", ("+491701234567",), addresses=(Address("telegram_user", "", "42"),)),)),
    ),
    "contact_other": (ContactsPart((ContactCard("Bo", ("+12025550123",), vcard="BEGIN:VCARD\nEND:VCARD"),)),),
    "story": (SharePart("story", "https://t.me/news/s/9", "News", "-100555:9"),),
    "paid_media": (
        MediaPart("image", MediaRef("large", None, "image/jpeg", 90000, width=1280, height=853), "Buy"),
        MediaPart("video", MediaRef("pv", duration=2.0)),
        UnsupportedPart("paid_media", "Shown only after payment.", {"type": "preview", "width": 100}),
    ),
    "web_app_data": (ChoicePart("flow", '{"size":"XL"}', "Order", data={"size": "XL"}),),
    "caption_alone": (TextPart("Only words"),),
    "unknown_content": (
        UnsupportedPart("hologram", "Not a kind of message we know.", {"hologram": {"depth": 3}}),
    ),
    "broken_photo": (
        TextPart("Still here"),
        UnsupportedPart("photo", "Not a kind of message we know.", {"photo": 5}),
    ),
    "reply_to_story": (TextPart("Nice"), StoryPart("reply", "https://t.me/bo/s/2", "43:2")),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_content_becomes_parts(name: str) -> None:
    message = only_message(name)
    assert message.parts == PARTS[name]
    assert (message.external_id, message.occurred_at, message.author) == ("42:7", SENT, None)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("poll", "poll", "Tea?"),
        ("dice", "dice", "🎲 4"),
        ("game", "game", "Chess"),
        ("checklist", "checklist", "Trip\n☑ Pack\n☐ Fly"),
        ("invoice", "invoice", "Tea"),
        ("successful_payment", "successful_payment", None),
        ("service_joined", "new_chat_members", "Bo, Cy"),
        ("service_pinned", "pinned_message", "Rules"),
        ("service_title", "new_chat_title", "Helpdesk"),
    ],
)
def test_notices_keep_their_whole_content(name: str, kind: str, text: str | None) -> None:
    [part] = only_message(name).parts
    assert isinstance(part, SystemPart)
    assert (part.kind, part.text) == (kind, text)
    raw = orjson.loads((DATA / f"{name}.json").read_bytes())["message"][kind]
    assert part.data == (raw if isinstance(raw, dict) else {"value": raw})


def test_text_counts_in_code_points_whatever_telegram_counts() -> None:
    message = only_message("text")
    [part] = message.parts
    assert isinstance(part, TextPart)
    words = [(entity.kind, part.text[entity.offset : entity.offset + entity.length]) for entity in part.entities]
    assert words == [
        ("bold", "bold"),
        ("link", "link"),
        ("link", "https://a.test"),
        ("custom_emoji", "👋🏽"),
        ("mention", "Hi"),
        ("other", "Hi"),
    ]
    assert [entity.url for entity in part.entities] == [
        None, "https://b.test/x", "https://a.test", "tg://emoji?id=555", "tg://user?id=43", None,
    ]  # fmt: skip
    assert message.peer == ANN
    assert message.opens_window
    assert not message.forwarded


def test_rich_message_shows_its_words_and_keeps_the_rest() -> None:
    words, whole = only_message("rich_message").parts
    assert words == TextPart("Hello you\none")
    assert isinstance(whole, UnsupportedPart)
    assert whole.what == "rich_message"
    assert whole.data == orjson.loads((DATA / "rich_message.json").read_bytes())["message"]["rich_message"]


def test_start_carries_its_deep_link() -> None:
    message = only_message("start")
    assert message.referral == Referral("deep_link", ref="abc-12_X")
    assert message.parts == (TextPart("/start abc-12_X", (Entity("command", 0, 6),)),)


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("/start@helper_bot abc", "abc"),
        ("/start", None),
        ("/start two words", None),
        ("/started abc", None),
        (f"/start {'x' * 65}", None),
    ],
)
def test_only_a_deep_link_is_a_referral(text: str, payload: str | None) -> None:
    [item] = parse(_text_update(text))
    assert isinstance(item, MessageReceived)
    assert (item.referral.ref if item.referral else None) == payload


def test_an_album_is_named() -> None:
    assert only_message("photo").album == "alb1"


def test_sharing_ones_own_contact_tells_the_phone() -> None:
    assert only_message("contact_own").peer.phone == "+491701234567"
    assert only_message("contact_other").peer.phone is None


def test_a_group_is_the_peer_and_the_sender_the_author() -> None:
    message = only_message("group_text")
    assert (message.peer, message.author, message.external_id) == (SUPPORT, ANN, "-1001234567890:7")
    assert message.reply_to is None, "a message in a topic does not quote the notice that opened it"
    assert only_message("group_anonymous_admin").author == SUPPORT


def test_replies_and_forwards() -> None:
    reply = only_message("reply")
    assert (reply.reply_to, reply.parts) == ("42:5", (TextPart("Yes"), SharePart("quote", None, "Tea")))
    external = only_message("external_reply")
    assert external.reply_to == "-100555:31"
    assert external.parts == (TextPart("See this"), SharePart("external_reply", None, "Big news"))
    forward = only_message("forward")
    assert forward.forwarded
    assert forward.parts == (TextPart("FYI"), SharePart("forward", None, "Zed"))


NEWS = {"id": -100555, "type": "channel", "title": "News", "username": "news"}


def test_an_edit_in_a_group_says_who_wrote() -> None:
    update = orjson.loads((DATA / "group_text.json").read_bytes())
    said = only_message("group_text")
    [edit] = parse(orjson.dumps({"update_id": 1, "edited_message": update["message"]}))
    assert isinstance(edit, MessageEdited)
    assert (edit.external_id, edit.peer, edit.author) == (said.external_id, said.peer, said.author)


@pytest.mark.parametrize(
    ("label", "origin", "expected"),
    [
        ("a person", {"type": "user", "sender_user": {"id": 43, "first_name": "Bo"}}, SharePart("forward", None, "Bo")),
        ("a hidden person", {"type": "hidden_user", "sender_user_name": "Zed"}, SharePart("forward", None, "Zed")),
        (
            "a group", {"type": "chat", "sender_chat": {"id": -500, "type": "group", "title": "Team"}},
            SharePart("forward", None, "Team"),
        ),
        (
            "a post of a channel", {"type": "channel", "chat": NEWS, "message_id": 31},
            SharePart("forward", "https://t.me/news/31", "News", "-100555:31"),
        ),
        ("something new", {"type": "dream"}, SharePart("forward", None, None)),
    ],
)  # fmt: skip
def test_where_a_forward_comes_from(label: str, origin: object, expected: SharePart) -> None:
    [item] = parse(_text_update("FYI", forward_origin=origin))
    assert isinstance(item, MessageReceived)
    assert item.forwarded
    assert item.parts == (TextPart("FYI"), expected)


def test_a_chosen_stretch_of_the_quoted_message_is_told_only_if_chosen() -> None:
    for chosen, parts in ((True, (TextPart("Yes"), SharePart("quote", None, "Tea"))), (False, (TextPart("Yes"),))):
        quote = {"text": "Tea", "position": 0, **({"is_manual": True} if chosen else {})}
        [item] = parse(_text_update("Yes", quote=quote, reply_to_message={"message_id": 5, "date": 1}))
        assert isinstance(item, MessageReceived)
        assert (item.parts, item.reply_to) == (parts, "42:5")


def test_a_topic_is_part_of_its_group() -> None:
    group = {"id": -1001234567890, "type": "supergroup", "title": "Support", "is_forum": True}
    opened = {"message_id": 3, "date": 1, "forum_topic_created": {"name": "Orders", "icon_color": 1}}
    first, answer = (
        parse(_text_update("Hi", chat=group, message_thread_id=3, is_topic_message=True, reply_to_message=quoted))[0]
        for quoted in (opened, {"message_id": 4, "date": 1, "text": "?"})
    )
    assert isinstance(first, MessageReceived)
    assert isinstance(answer, MessageReceived)
    assert (first.reply_to, answer.reply_to) == (None, "-1001234567890:4")
    assert first.peer.addresses == answer.peer.addresses == (SUPERGROUP,)


def test_a_tap_below_a_message_out_of_reach_still_names_it() -> None:
    message = {"message_id": 9, "date": 0, "chat": {"id": 42, "type": "private", "first_name": "Ann"}}
    query = {"id": "1", "from": {"id": 42, "first_name": "Ann"}, "message": message, "data": "yes"}
    [item] = parse(orjson.dumps({"update_id": 1, "callback_query": query}))
    assert isinstance(item, MessageReceived)
    assert (item.reply_to, item.occurred_at) == ("42:9", UNKNOWN_TIME)
    assert item.parts == (ChoicePart("callback", "yes", acknowledge="1"),)


def test_a_message_that_has_no_id_yet_gets_one_of_ours() -> None:
    [item] = parse(_text_update("Later", message_id=0))
    assert isinstance(item, MessageReceived)
    assert item.external_id == "update:1:42"


def test_an_ephemeral_message_never_collides_with_a_later_one() -> None:
    first = only_message("ephemeral")
    body = orjson.loads((DATA / "ephemeral.json").read_bytes())
    [second] = parse(orjson.dumps({**body, "update_id": 10002}))
    assert isinstance(second, MessageReceived)
    assert (first.external_id, second.external_id) == ("update:10001:-1001234567890", "update:10002:-1001234567890")


@pytest.mark.parametrize(
    ("name", "peer", "echo"),
    [
        ("business_message", ANN_OF_C1, None),
        ("business_owner", ANN_OF_C1_CHAT, Echo()),
        ("business_bot", ANN_OF_C1_CHAT, Echo(app_id="777")),
        ("business_away", ANN_OF_C1_CHAT, Echo(app_id="automatic")),
    ],
)
def test_a_business_accounts_own_messages_are_echoes(name: str, peer: Person, echo: Echo | None) -> None:
    message = only_message(name)
    assert (message.external_id, message.peer, message.echo) == ("c1:42:7", peer, echo)
    assert message.opens_window is (echo is None)


CHANGES: dict[str, list[Inbound]] = {
    "edited_message": [MessageEdited(BOT, "42:7", ANN, (TextPart("Hi again"),), LATER)],
    "edited_business_message": [
        MessageEdited(BOT, "c1:42:7", ANN_OF_C1_CHAT, (TextPart("Until seven"),), LATER, by_business=True)
    ],
    "deleted_business_messages": [
        MessageUnsent(BOT, "c1:42:7", ANN_OF_C1_CHAT, UNKNOWN_TIME),
        MessageUnsent(BOT, "c1:42:8", ANN_OF_C1_CHAT, UNKNOWN_TIME),
    ],
    "migrate_to": [IdentityChanged(BOT, (Address("telegram_chat", "", "-500"),), (SUPERGROUP,), SENT)],
    "migrate_from": [IdentityChanged(BOT, (Address("telegram_chat", "", "-500"),), (SUPERGROUP,), SENT)],
    "reaction": [ReactionChanged(BOT, "42:9", ANN, "👍", SENT)],
    "reaction_removed": [ReactionChanged(BOT, "42:9", ANN, None, SENT)],
    "reaction_several": [ReactionChanged(BOT, "42:9", ANN, "❤ custom_emoji:555 ⭐ unsupported:smoke", SENT)],
    "reaction_group": [ReactionChanged(BOT, "-1001234567890:9", SUPPORT, "🔥", SENT, author=SUPPORT)],
    "blocked": [ReachabilityChanged(BOT, ANN, False, "blocked", SENT)],
    "unblocked": [ReachabilityChanged(BOT, ANN, True, "unblocked", SENT)],
    "group_removed": [ReachabilityChanged(BOT, SUPPORT, False, "removed", SENT)],
    "group_added": [ReachabilityChanged(BOT, SUPPORT, True, "added", SENT)],
    "group_restricted": [ReachabilityChanged(BOT, SUPPORT, False, "restricted", SENT)],
    "callback_query": [
        MessageReceived(
            BOT,
            "callback:4382",
            ANN,
            (ChoicePart("callback", "yes", "Yes, please", acknowledge="4382"),),
            UNKNOWN_TIME,
            reply_to="42:9",
        )
    ],
    "callback_group": [
        MessageReceived(
            BOT,
            "callback:4383",
            SUPPORT,
            (ChoicePart("callback", "yes", acknowledge="4383"),),
            UNKNOWN_TIME,
            author=ANN,
            reply_to="-1001234567890:9",
        )
    ],
    "callback_inline": [
        MessageReceived(
            BOT,
            "callback:4384",
            ANN,
            (ChoicePart("callback", None, data={"game_short_name": "chess"}, acknowledge="4384"),),
            UNKNOWN_TIME,
        )
    ],
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes(name: str) -> None:
    assert parse_file(name) == CHANGES[name]


def test_a_business_connection_is_a_notice_about_the_channel() -> None:
    raw = orjson.loads((DATA / "business_connection.json").read_bytes())["business_connection"]
    assert parse_file("business_connection") == [ChannelNotice(BOT, "business_connection", raw, SENT)]


def test_what_is_asked_for_is_what_is_understood() -> None:
    """An update that was not asked for never comes; one that is asked for in vain fills the quarantine."""
    recorded = {key for path in DATA.glob("*.json") for key in orjson.loads(path.read_bytes())}
    understood = {
        kind
        for path in DATA.glob("*.json")
        for kind in orjson.loads(path.read_bytes())
        if kind != "update_id" and not any(isinstance(item, UnsupportedEvent) for item in parse(path.read_bytes()))
    }
    assert set(UPDATES) == understood
    assert {"message_reaction", "my_chat_member", "deleted_business_messages"} <= set(UPDATES) < recorded


@pytest.mark.parametrize(
    "name", [*sorted(path.stem for path in DATA.glob("kind_*.json")), "channel_post", "guest_message"]
)
def test_other_kinds_are_kept(name: str) -> None:
    kind = name.removeprefix("kind_")
    raw = orjson.loads((DATA / f"{name}.json").read_bytes())[kind]
    assert parse_file(name) == [UnsupportedEvent(BOT, kind, raw, SENT if "date" in raw else None)]


# --- What should not come ---------------------------------------------------------------------------------------------


def _text_update(text: str, **fields: object) -> bytes:
    chat = {"id": 42, "type": "private", "first_name": "Ann"}
    message = {"message_id": 7, "date": 1749416383, "chat": chat, "from": {"id": 42, "first_name": "Ann"}, "text": text}
    return orjson.dumps({"update_id": 1, "message": message | fields})


@pytest.mark.parametrize(
    ("label", "body", "what"),
    [
        ("nothing", b"", "body_not_json"),
        ("not JSON", b"{", "body_not_json"),
        ("too deep for any reader", b"[" * 100_000, "body_not_json"),
        ("a list", b"[1]", "body_not_an_object"),
        ("an empty object", b"{}", "empty_update"),
        ("no content", b'{"update_id":1}', "empty_update"),
        ("content of a wrong type", b'{"update_id":1,"message":"hi"}', "message"),
        ("no chat", b'{"update_id":1,"message":{"text":"hi"}}', "message"),
        ("a chat id beyond 64 bits", b'{"update_id":1,"message":{"chat":{"id":%s}}}' % (b"9" * 400), "message"),
        ("a tap without an id", b'{"callback_query":{"from":{"id":1}}}', "callback_query"),
        ("an edit without an id", b'{"edited_message":{"chat":{"id":1,"type":"private"}}}', "edited_message"),
        ("an odd status", b'{"my_chat_member":{"chat":{"id":1},"new_chat_member":{"status":7}}}', "my_chat_member"),
    ],
)
def test_what_cannot_be_understood_is_kept(label: str, body: bytes, what: str) -> None:
    [item] = parse(body)
    assert isinstance(item, UnsupportedEvent)
    assert (item.account_id, item.what) == (BOT, what)
    orjson.dumps(item.data)


def test_one_bad_item_does_not_cost_its_neighbours() -> None:
    body = orjson.loads(_text_update("hello")) | {"callback_query": 5}
    good, bad = parse(orjson.dumps(body))
    assert isinstance(good, MessageReceived)
    assert good.parts == (TextPart("hello"),)
    assert bad == UnsupportedEvent(BOT, "callback_query", 5)


def test_without_an_account_nothing_is_guessed() -> None:
    [item] = TelegramProvider().parse(_text_update("hi"))
    assert isinstance(item, UnsupportedEvent)
    assert (item.account_id, item.what) == (None, "message")


@pytest.mark.parametrize(
    ("label", "written", "read"),
    [
        ("a NUL", rb"a\u0000b", "ab"),
        ("a lone surrogate", rb"a\ud83db", "a�b"),
        ("a pair", rb"a\ud83d\ude00b", "a😀b"),
        ("invalid UTF-8", b"a\xffb", "a�b"),
    ],
)
def test_strings_come_out_storable(label: str, written: bytes, read: str) -> None:
    [item] = parse(_text_update("TEXT").replace(b"TEXT", written))
    assert isinstance(item, MessageReceived)
    assert item.parts == (TextPart(read),)


@pytest.mark.parametrize(
    ("label", "offset", "length", "expected"),
    [
        ("begins inside a pair", 2, 2, [(1, 2)]),
        ("ends inside a pair", 0, 2, [(0, 2)]),
        ("reaches beyond the end", 3, 99, [(2, 1)]),
        ("lies beyond the end", 50, 1, []),
        ("is empty", 0, 0, []),
        ("is negative", -1, 2, []),
        ("is no number", "x", 2, []),
    ],
)
def test_entities_never_divide_a_character(
    label: str, offset: object, length: object, expected: list[tuple[int, int]]
) -> None:
    entities = [{"type": "bold", "offset": offset, "length": length}]
    [item] = parse(_text_update("a😀b", entities=entities))
    assert isinstance(item, MessageReceived)
    [part] = item.parts
    assert isinstance(part, TextPart)
    assert [(entity.offset, entity.length) for entity in part.entities] == expected


def test_names_are_bounded_and_text_is_kept_whole() -> None:
    text = "x" * 100_000
    chat = {"id": 42, "type": "private"}
    sender = {"id": 42, "first_name": "n" * 5000, "last_name": "m" * 5000}
    [item] = parse(_text_update(text, chat=chat, **{"from": sender}))
    assert isinstance(item, MessageReceived)
    assert item.parts == (TextPart(text),)
    assert item.peer.name == "n" * 256


_SOURCES = [orjson.loads(path.read_bytes()) for path in sorted(DATA.glob("*.json"))]
_JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5), st.just([]), st.just({}), st.just([[]]), st.just([{}]), st.just({"id": 1}),
)  # fmt: skip


@st.composite
def _damaged(draw: st.DrawFn) -> object:
    body = orjson.loads(orjson.dumps(draw(st.sampled_from(_SOURCES))))
    for _ in range(draw(st.integers(1, 4))):
        place = body
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if draw(st.booleans()) or not isinstance(place[key], dict | list):
                place[key] = deepcopy(draw(_JUNK))
                break
            place = place[key]
    return body


@given(_damaged())
@settings(max_examples=300, deadline=None)
def test_damage_anywhere_never_raises_and_never_drops(body: object) -> None:
    items = parse(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS))
    assert items
    for item in items:
        assert item.account_id == BOT
        assert b"\\u0000" not in orjson.dumps(item), "PostgreSQL could not store it"


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_survived(body: bytes) -> None:
    assert parse(body)


# --- Who may speak ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "header", "signing", "accepted"),
    [
        ("right", "s3cret", ("s3cret",), True),
        ("while rotating", "old", ("new", "old"), True),
        ("wrong", "s3creT", ("s3cret",), False),
        ("absent", None, ("s3cret",), False),
        ("absent against an empty secret", None, ("",), False),
        ("empty against an empty secret", "", ("",), False),
        ("no secret known", "s3cret", (), False),
        ("not ASCII", "sécret", ("s3cret",), False),
    ],
)
def test_the_secret_header_decides(label: str, header: str | None, signing: tuple[str, ...], accepted: bool) -> None:
    headers = {} if header is None else {"x-telegram-bot-api-secret-token": header}
    assert TelegramProvider().verify(headers, b"{}", WebhookSecrets(signing)) is accepted


def test_there_is_no_handshake() -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": "t"}
    assert TelegramProvider().handshake(query, WebhookSecrets(("s",), "t")) is None
