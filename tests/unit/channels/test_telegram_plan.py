"""What goes out: calls as the Bot API wants them, and refusals that name the limit (channel facts 4.3, 4.4)."""

from __future__ import annotations

import pytest
import regex

from channels.content import ContactCard, Entity, MediaKind
from channels.errors import ContentRefused
from channels.outbound import (
    Choice,
    ChoiceSection,
    OutboundAlbum,
    OutboundChoices,
    OutboundContacts,
    OutboundLocation,
    OutboundMedia,
    OutboundPart,
    OutboundReaction,
    OutboundTemplate,
    OutboundText,
    Piece,
)
from channels.telegram.adapter import TelegramAdapter
from channels.telegram.capabilities import REACTIONS
from channels.types import JsonObject

MEGABYTE = 1024 * 1024
LINK = "https://a.test/f"


def plan(*parts: OutboundPart) -> tuple[Piece, ...]:
    return TelegramAdapter().plan(parts)


def params(piece: Piece) -> JsonObject:
    inner = piece.payload["params"]
    assert isinstance(inner, dict)
    return inner


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def buttons(*choices: Choice, style: str = "buttons", **fields: object) -> OutboundChoices:
    return OutboundChoices(style, "Pick", (ChoiceSection(choices),), **fields)  # type: ignore[arg-type]


CARD = ContactCard("Bo Li", ("+12025550123", "+12025550124"), vcard="BEGIN:VCARD\nEND:VCARD")
CALLS: list[tuple[str, OutboundPart, JsonObject]] = [
    ("text", OutboundText("Hi"), {"method": "sendMessage", "params": {"text": "Hi"}}),
    (
        "text without a preview",
        OutboundText("a.test", preview_links=False),
        {"method": "sendMessage", "params": {"text": "a.test", "link_preview_options": {"is_disabled": True}}},
    ),
    (
        "markup stays text",
        OutboundText("<b>_*[x]("),
        {"method": "sendMessage", "params": {"text": "<b>_*[x]("}},
    ),
    (
        "entities behind an emoji, in UTF-16",
        OutboundText(
            "👋 bold #tag here",
            (Entity("bold", 2, 4), Entity("hashtag", 7, 4), Entity("link", 12, 4, "https://a.test")),
        ),
        {
            "method": "sendMessage",
            "params": {
                "text": "👋 bold #tag here",
                "entities": [
                    {"type": "bold", "offset": 3, "length": 4},
                    {"type": "text_link", "url": "https://a.test", "offset": 13, "length": 4},
                ],
            },
        },
    ),
    (
        "a mention and an emoji of its own",
        OutboundText("Bo X", (Entity("mention", 0, 2, "tg://user?id=43"), Entity("custom_emoji", 3, 1, "tg://emoji?id=5"))),
        {
            "method": "sendMessage",
            "params": {
                "text": "Bo X",
                "entities": [
                    {"type": "text_mention", "user": {"id": 43}, "offset": 0, "length": 2},
                    {"type": "custom_emoji", "custom_emoji_id": "5", "offset": 3, "length": 1},
                ],
            },
        },
    ),
    (
        "a photo by link",
        OutboundMedia("image", url="https://a.test/p.jpg", caption="Look"),
        {"method": "sendPhoto", "params": {"photo": "https://a.test/p.jpg", "caption": "Look"}},
    ),
    (
        "a stored document",
        OutboundMedia("document", media_id="m1", mime_type="application/pdf"),
        {"method": "sendDocument", "params": {}, "files": ["document"]},
    ),
    (
        "a voice note with a codec in its type",
        OutboundMedia("voice", media_id="m1", mime_type="audio/ogg; codecs=opus"),
        {"method": "sendVoice", "params": {}, "files": ["voice"]},
    ),
    (
        "a place",
        OutboundLocation(52.5, 13.4),
        {"method": "sendLocation", "params": {"latitude": 52.5, "longitude": 13.4}},
    ),
    (
        "a venue without an address",
        OutboundLocation(52.5, 13.4, "Cafe"),
        {"method": "sendVenue", "params": {"latitude": 52.5, "longitude": 13.4, "title": "Cafe", "address": "Cafe"}},
    ),
    (
        "a contact",
        OutboundContacts((CARD,)),
        {
            "method": "sendContact",
            "params": {"phone_number": "+12025550123", "first_name": "Bo Li", "vcard": "BEGIN:VCARD\nEND:VCARD"},
        },
    ),
    (
        "a reaction with a variation selector",
        OutboundReaction("42:9", "❤️"),
        {"method": "setMessageReaction", "params": {"message_id": 9, "reaction": [{"type": "emoji", "emoji": "❤"}]}},
    ),
    (
        "a reaction taken back",
        OutboundReaction("42:9", None),
        {"method": "setMessageReaction", "params": {"message_id": 9, "reaction": []}},
    ),
    (
        "buttons",
        buttons(Choice("Yes", "y"), Choice("Site", url="https://a.test"), Choice("No")),
        {
            "method": "sendMessage",
            "params": {
                "text": "Pick",
                "reply_markup": {
                    "inline_keyboard": [
                        [{"text": "Yes", "callback_data": "y"}],
                        [{"text": "Site", "url": "https://a.test"}],
                        [{"text": "No", "callback_data": "No"}],
                    ]
                },
            },
        },
    ),
    (
        "quick replies",
        buttons(Choice("Yes", "y"), Choice("No", "n"), style="quick_replies"),
        {
            "method": "sendMessage",
            "params": {
                "text": "Pick",
                "reply_markup": {
                    "keyboard": [[{"text": "Yes"}], [{"text": "No"}]],
                    "one_time_keyboard": True,
                    "resize_keyboard": True,
                },
            },
        },
    ),
    (
        "a list says in the text what buttons cannot",
        OutboundChoices(
            "list",
            "Pick",
            (ChoiceSection((Choice("Tea", "t", description="green"),), "Hot"), ChoiceSection((Choice("Cola", "c"),))),
            header="Menu",
            footer="Thanks",
        ),
        {
            "method": "sendMessage",
            "params": {
                "text": "Menu\n\nPick\n\nHot\nTea: green\n\nThanks",
                "entities": [{"type": "bold", "offset": 0, "length": 4}],
                "reply_markup": {
                    "inline_keyboard": [
                        [{"text": "Tea", "callback_data": "t"}],
                        [{"text": "Cola", "callback_data": "c"}],
                    ]
                },
            },
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("label", "part", "payload"), CALLS, ids=[label for label, _, _ in CALLS])
def test_each_kind_becomes_its_call(label: str, part: OutboundPart, payload: JsonObject) -> None:
    [piece] = plan(part)
    assert piece.payload == payload


LIMITS: list[tuple[str, OutboundPart, str, str, int | str | None]] = [
    ("blank text", OutboundText(" \n "), "empty", "text.minimum", 1),
    (
        "a photo of 11 MB", OutboundMedia("image", media_id="m", size=11 * MEGABYTE),
        "too_large", "media.image.max_bytes", 10 * MEGABYTE,
    ),
    (
        "a linked photo of 6 MB", OutboundMedia("image", url="https://a.test", size=6 * MEGABYTE),
        "too_large", "media.image.max_bytes_by_link", 5 * MEGABYTE,
    ),
    (
        "a video of 51 MB", OutboundMedia("video", media_id="m", size=51 * MEGABYTE),
        "too_large", "media.video.max_bytes", 50 * MEGABYTE,
    ),
    (
        "a linked video note", OutboundMedia("video_note", url="https://a.test"),
        "not_offered", "media.video_note.max_bytes_by_link", 0,
    ),
    (
        "a photo of another type", OutboundMedia("image", media_id="m", mime_type="image/tiff"),
        "media_type", "media.image.mime_types", "image/jpeg, image/png, image/webp",
    ),
    ("no file at all", OutboundMedia("image"), "invalid", "media.image", None),
    ("a link that is none", OutboundMedia("image", url="ftp://a.test"), "invalid", "media.image.url", None),
    ("an empty album", OutboundAlbum(()), "empty", "album.minimum", 1),
    (
        "a file in an album that is too large",
        OutboundAlbum((OutboundMedia("image", url=LINK), OutboundMedia("image", url=LINK, size=6 * MEGABYTE))),
        "too_large", "media.image.max_bytes_by_link", 5 * MEGABYTE,
    ),
    (
        "a payload of 65 bytes", buttons(Choice("Yes", "ä" * 32 + "x")),
        "too_long", "choices.buttons.payload.maximum", 64,
    ),
    ("a button without words", buttons(Choice(" ", "y")), "empty", "choices.buttons.title.minimum", 1),
    (
        "a link among quick replies", buttons(Choice("Site", url="https://a.test"), style="quick_replies"),
        "not_offered", "choices.quick_replies.links", 0,
    ),
    (
        "101 buttons", buttons(*[Choice(f"{n}") for n in range(101)]),
        "too_many", "choices.buttons.maximum", 100,
    ),
    ("no button", buttons(), "empty", "choices.buttons.minimum", 1),
    (
        "a title of 257 characters", buttons(Choice("x" * 257, "y")),
        "too_long", "choices.buttons.title.maximum", 256,
    ),
    (
        "a button that runs a script", buttons(Choice("Go", url="javascript:alert(1)")),
        "invalid", "choices.buttons.url", None,
    ),
    ("a contact without a phone", OutboundContacts((ContactCard("Bo"),)), "invalid", "contacts.phone", None),
    ("no contact", OutboundContacts(()), "empty", "contacts.minimum", 1),
    ("a place off the map", OutboundLocation(91, 0), "invalid", "location", None),
    ("a place that is no number", OutboundLocation(float("nan"), 0), "invalid", "location", None),
    (
        "an emoji that is not offered", OutboundReaction("42:9", "🦖"),
        "not_offered", "reaction_emoji", " ".join(REACTIONS),
    ),
    ("a reaction to a tap", OutboundReaction("callback:4382", "👍"), "invalid", "reactions", None),
    ("a reaction in a business chat", OutboundReaction("c1:42:9", "👍"), "invalid", "reactions", None),
    ("a template", OutboundTemplate("hello", "en"), "not_offered", "templates", None),
]  # fmt: skip


@pytest.mark.parametrize(("label", "part", "code", "limit", "allowed"), LIMITS, ids=[label for label, *_ in LIMITS])
def test_a_refusal_names_the_limit_and_the_part(
    label: str, part: OutboundPart, code: str, limit: str, allowed: int | str | None
) -> None:
    with pytest.raises(ContentRefused) as refused:
        plan(OutboundText("fine"), part)
    error = refused.value
    assert (error.code, error.limit, error.allowed, error.part) == (code, limit, allowed, 1)


def test_nothing_is_refused_as_nothing() -> None:
    with pytest.raises(ContentRefused):
        plan()


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("words", "lorem ipsum. " * 900),
        ("paragraphs", ("x" * 1500 + "\n\n") * 6),
        ("no border at all", "x" * 9000),
        ("families of emoji", "👨‍👩‍👧‍👦" * 1500),
        ("piled accents", ("a" + "\u0301" * 9) * 1200),
        ("flags", "🇩🇪" * 2500),
    ],
)
def test_long_text_is_cut_between_graphemes_and_loses_only_space(label: str, text: str) -> None:
    pieces = [piece.text or "" for piece in plan(OutboundText(text))]
    assert len(pieces) > 1
    assert all(0 < units(piece) <= 4096 for piece in pieces)
    assert "".join("".join(piece.split()) for piece in pieces) == "".join(text.split())
    graphemes = [grapheme for piece in pieces for grapheme in regex.findall(r"\X", piece)]
    assert [g for g in graphemes if not g.isspace()] == [g for g in regex.findall(r"\X", text) if not g.isspace()]


def test_4096_units_are_one_message() -> None:
    assert len(plan(OutboundText("😀" * 2048))) == 1
    assert len(plan(OutboundText("😀" * 2048 + "x"))) == 2


def test_entities_stay_whole_and_move_with_their_piece() -> None:
    text = "word " * 815 + "👋 https://a.test/very/long/way" + " end" * 10
    start = text.index("👋")
    first, second = plan(OutboundText(text, (Entity("bold", start, text.index(" end") - start),)))
    assert "entities" not in params(first)
    assert params(second)["text"].startswith("👋 https://a.test")  # type: ignore[union-attr]
    assert params(second)["entities"] == [{"type": "bold", "offset": 0, "length": 31}]


def test_an_entity_longer_than_a_message_goes_on_in_the_next() -> None:
    pieces = plan(OutboundText("x" * 5000, (Entity("code", 0, 5000),)))
    assert [params(piece)["entities"] for piece in pieces] == [
        [{"type": "code", "offset": 0, "length": 4096}],
        [{"type": "code", "offset": 0, "length": 904}],
    ]


def test_the_keyboard_stands_below_the_last_piece() -> None:
    part = OutboundChoices("buttons", "word " * 1000, (ChoiceSection((Choice("Yes", "y"),)),))
    first, last = plan(part)
    assert "reply_markup" not in params(first)
    assert params(last)["reply_markup"] == {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}


def album(*items: OutboundMedia, caption: str | None = None) -> tuple[Piece, ...]:
    return plan(OutboundAlbum(items, caption))


def linked(kind: MediaKind, number: int = 0) -> OutboundMedia:
    return OutboundMedia(kind, url=f"https://a.test/{number}")


def test_an_album_mixes_stored_and_linked_files() -> None:
    photo = OutboundMedia("image", media_id="m1", caption="own")
    [piece] = album(photo, linked("video", 1), OutboundMedia("video", media_id="m2"), caption="Our trip")
    assert piece.payload == {
        "method": "sendMediaGroup",
        "params": {
            "media": [
                {"type": "photo", "media": "attach://file0", "caption": "Our trip"},
                {"type": "video", "media": "https://a.test/1"},
                {"type": "video", "media": "attach://file1"},
            ]
        },
        "files": ["file0", "file1"],
    }
    assert (piece.media_ids, piece.text, piece.lane) == (("m1", "m2"), "Our trip", "media")


@pytest.mark.parametrize(
    ("label", "kinds", "expected"),
    [
        ("one is no album", ["image"], ["sendPhoto"]),
        ("two", ["image", "video"], ["sendMediaGroup 2"]),
        ("ten", ["image"] * 10, ["sendMediaGroup 10"]),
        ("eleven", ["image"] * 11, ["sendMediaGroup 10", "sendPhoto"]),
        ("twelve", ["image", "video"] * 6, ["sendMediaGroup 10", "sendMediaGroup 2"]),
        ("families apart", ["image", "audio", "audio", "document"], ["sendPhoto", "sendMediaGroup 2", "sendDocument"]),
        ("what albums do not take", ["voice", "voice", "animation"], ["sendVoice", "sendVoice", "sendAnimation"]),
        (
            "the tenth of another family",
            [*["image"] * 9, *["document"] * 7],
            ["sendMediaGroup 9", "sendMediaGroup 7"],
        ),
    ],
)
def test_albums_hold_two_to_ten_of_a_family(label: str, kinds: list[MediaKind], expected: list[str]) -> None:
    told: list[str] = []
    for piece in album(*[linked(kind, number) for number, kind in enumerate(kinds)]):
        media = params(piece).get("media")
        told.append(f"{piece.payload['method']}{f' {len(media)}' if isinstance(media, list) else ''}")
    assert told == expected


def test_files_that_nobody_called_an_album_go_one_by_one() -> None:
    assert [piece.payload["method"] for piece in plan(linked("image"), linked("image"))] == ["sendPhoto", "sendPhoto"]


LONG_CAPTION = "😀" * 512 + "x"
"""1025 UTF-16 units."""


@pytest.mark.parametrize(
    ("label", "part", "caption", "texts"),
    [
        ("fits", OutboundMedia("image", media_id="m", caption="😀" * 512), "😀" * 512, []),
        ("too long", OutboundMedia("image", media_id="m", caption=LONG_CAPTION), None, [LONG_CAPTION]),
        ("longer than a text", OutboundMedia("image", media_id="m", caption="x" * 5000), None, ["x" * 4096, "x" * 904]),
        ("on a sticker", OutboundMedia("sticker", media_id="m", caption="Hi"), None, ["Hi"]),
        ("blank", OutboundMedia("image", media_id="m", caption=" \n"), None, []),
    ],
)
def test_a_caption_arrives_whole(label: str, part: OutboundMedia, caption: str | None, texts: list[str]) -> None:
    first, *rest = plan(part)
    assert params(first).get("caption") == caption
    assert first.media_ids == ("m",)
    assert [params(piece) for piece in rest] == [{"text": text} for text in texts]


def test_an_album_with_a_long_caption_is_followed_by_it() -> None:
    first, second = album(linked("image", 1), linked("image", 2), caption=LONG_CAPTION)
    assert first.payload["method"] == "sendMediaGroup"
    assert "caption" not in str(first.payload)
    assert (second.text, second.lane) == (LONG_CAPTION, "message")


def test_there_are_73_reactions_without_variation_selectors() -> None:
    assert len(set(REACTIONS)) == 73
    assert not any("\ufe0f" in emoji for emoji in REACTIONS)
    assert TelegramAdapter.capabilities.reaction_emoji == REACTIONS
