"""What Messenger sends for each neutral part, and what is refused before it is queued, naming the limit."""

from __future__ import annotations

from typing import Any

import pytest

from channels.content import Entity
from channels.errors import ContentRefused
from channels.messenger.adapter import MessengerAdapter
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

plan = MessengerAdapter().plan
URL = "https://files.example/a"
MIB = 1024 * 1024


def choices(style: Any, *offered: Choice, text: str = "Pick", **changes: Any) -> OutboundChoices:
    return OutboundChoices(style, text, (ChoiceSection(offered),), **changes)


def attachment(kind: str, payload: Any) -> Any:
    return {"message": {"attachment": {"type": kind, "payload": payload}}}


PLANNED: list[tuple[str, OutboundPart, tuple[Piece, ...]]] = [
    ("text", OutboundText("hi"), (Piece({"message": {"text": "hi"}}, text="hi"),)),
    (
        "a hidden link is written out",
        OutboundText("see here now", (Entity("link", 4, 4, "https://x.example"), Entity("bold", 0, 3))),
        (Piece({"message": {"text": "see here (https://x.example) now"}}, text="see here (https://x.example) now"),),
    ),
    (
        "a plain link stays as it is",
        OutboundText("https://x.example", (Entity("link", 0, 17, "https://x.example"),)),
        (Piece({"message": {"text": "https://x.example"}}, text="https://x.example"),),
    ),
    (
        "image by link",
        OutboundMedia("image", url=URL, mime_type="image/png"),
        (Piece(attachment("image", {"url": URL}), lane="media", patience=30),),
    ),
    (
        "video by link: Meta fetches it first",
        OutboundMedia("video", url=URL, mime_type="video/mp4"),
        (Piece(attachment("video", {"url": URL}), lane="media", patience=90),),
    ),
    (
        "stored voice note",
        OutboundMedia("voice", media_id="f1", mime_type="audio/ogg; codecs=opus", size=10),
        (Piece({"upload": "audio"}, media_ids=("f1",), lane="media"),),
    ),
    (
        "document with caption: two messages",
        OutboundMedia("document", media_id="f1", caption="the bill"),
        (
            Piece({"upload": "file"}, media_ids=("f1",), lane="media"),
            Piece({"message": {"text": "the bill"}}, text="the bill"),
        ),
    ),
    (
        "gif named as image",
        OutboundMedia("image", media_id="f1", mime_type="image/gif"),
        (Piece({"upload": "image"}, media_ids=("f1",), lane="media"),),
    ),
    (
        "animation that is a video",
        OutboundMedia("animation", media_id="f1", mime_type="video/mp4"),
        (Piece({"upload": "video"}, media_ids=("f1",), lane="media"),),
    ),
    (
        "quick replies",
        choices("quick_replies", Choice("Yes", "Y"), Choice("No")),
        (
            Piece(
                {
                    "message": {
                        "text": "Pick",
                        "quick_replies": [
                            {"content_type": "text", "title": "Yes", "payload": "Y"},
                            {"content_type": "text", "title": "No", "payload": "No"},
                        ],
                    }
                },
                text="Pick",
            ),
        ),
    ),
    (
        "buttons with header and footer",
        choices("buttons", Choice("Go", "G"), Choice("Site", url="https://x.example"), header="Head", footer="Foot"),
        (
            Piece(
                attachment(
                    "template",
                    {
                        "template_type": "button",
                        "text": "Head\n\nPick\n\nFoot",
                        "buttons": [
                            {"type": "postback", "title": "Go", "payload": "G"},
                            {"type": "web_url", "title": "Site", "url": "https://x.example"},
                        ],
                    },
                ),
                text="Head\n\nPick\n\nFoot",
            ),
        ),
    ),
    (
        "template as given",
        OutboundTemplate("order", "en_US", ({"type": "body", "parameters": []},), text="Your order left."),
        (
            Piece(
                {
                    "message": {
                        "template": {
                            "name": "order",
                            "language": {"code": "en_US"},
                            "components": [{"type": "body", "parameters": []}],
                        }
                    }
                },
                text="Your order left.",
            ),
        ),
    ),
    (
        "album: one by one, its words last",
        OutboundAlbum(
            (OutboundMedia("image", url=URL, caption="one"), OutboundMedia("image", media_id="f1")), caption="all"
        ),
        (
            Piece(attachment("image", {"url": URL}), lane="media", patience=30),
            Piece({"message": {"text": "one"}}, text="one"),
            Piece({"upload": "image"}, media_ids=("f1",), lane="media"),
            Piece({"message": {"text": "all"}}, text="all"),
        ),
    ),
    ("reaction", OutboundReaction("m_1", "👍"), (Piece({"reaction": {"target": "m_1", "emoji": "👍"}}),)),
    ("reaction removed", OutboundReaction("m_1", None), (Piece({"reaction": {"target": "m_1", "emoji": None}}),)),
]


@pytest.mark.parametrize(("label", "part", "pieces"), PLANNED, ids=[case[0] for case in PLANNED])
def test_a_part_becomes(label: str, part: OutboundPart, pieces: tuple[Piece, ...]) -> None:
    assert plan([part]) == pieces


def test_parts_keep_their_order() -> None:
    pieces = plan([OutboundText("a"), OutboundMedia("image", url=URL, caption="b"), OutboundText("c")])
    assert [piece.text for piece in pieces] == ["a", None, "b", "c"]


def test_long_text_is_cut_at_words_below_2000_characters() -> None:
    text = "word 👩‍👩‍👧‍👦 " * 500
    pieces = plan([OutboundText(text)])
    assert len(pieces) > 1
    for piece in pieces:
        assert piece.text is not None
        assert len(piece.text) <= 2000
        assert set(piece.text.split()) <= {"word", "👩‍👩‍👧‍👦"}
    assert " ".join(piece.text or "" for piece in pieces).split() == text.split()


def test_a_written_out_link_is_not_cut() -> None:
    text = "x" * 1990 + " here"
    pieces = plan([OutboundText(text, (Entity("link", 1991, 4, "https://x.example/long/path"),))])
    assert [piece.text for piece in pieces] == ["x" * 1990, "here (https://x.example/long/path)"]


REFUSED: list[tuple[str, OutboundPart, str, str, Any]] = [
    ("no text", OutboundText(" \n"), "empty", "text.minimum", 1),
    (
        "sticker",
        OutboundMedia("sticker", url=URL),
        "not_offered",
        "media",
        "image, video, audio, voice, document, animation, video_note",
    ),
    ("link that is none", OutboundMedia("image", url="ftp://x.example/a"), "invalid", "media.image.url", None),
    ("no source", OutboundMedia("image"), "invalid", "media.image", None),
    ("two sources", OutboundMedia("image", url=URL, media_id="f"), "invalid", "media.image", None),
    (
        "too large",
        OutboundMedia("video", media_id="f", size=25 * MIB + 1),
        "too_large",
        "media.video.max_bytes",
        25 * MIB,
    ),
    (
        "too large by link",
        OutboundMedia("image", url=URL, size=8 * MIB + 1),
        "too_large",
        "media.image.max_bytes_by_link",
        8 * MIB,
    ),
    (
        "animation of another type",
        OutboundMedia("animation", media_id="f", mime_type="image/webp"),
        "media_type",
        "media.animation.mime_types",
        "image/gif, video/mp4",
    ),
    ("location", OutboundLocation(1.0, 2.0), "not_offered", "location", 0),
    ("contacts", OutboundContacts(()), "not_offered", "contacts", 0),
    ("list", choices("list", Choice("A")), "not_offered", "choices", "buttons, quick_replies"),
    ("no choice", choices("buttons"), "empty", "choices.buttons.minimum", 1),
    ("4 buttons", choices("buttons", *[Choice("A")] * 4), "too_many", "choices.buttons.maximum", 3),
    (
        "14 quick replies",
        choices("quick_replies", *[Choice("A")] * 14),
        "too_many",
        "choices.quick_replies.maximum",
        13,
    ),
    ("title", choices("buttons", Choice("t" * 21)), "too_long", "choices.buttons.title.maximum", 20),
    ("blank title", choices("buttons", Choice(" ")), "empty", "choices.buttons.title.minimum", 1),
    ("payload", choices("buttons", Choice("t", "p" * 1001)), "too_long", "choices.buttons.payload.maximum", 1000),
    ("text", choices("buttons", Choice("t"), text="x" * 641), "too_long", "choices.buttons.text.maximum", 640),
    ("blank text", choices("buttons", Choice("t"), text=" "), "empty", "choices.buttons.text.minimum", 1),
    (
        "link among quick replies",
        choices("quick_replies", Choice("t", url=URL)),
        "not_offered",
        "choices.quick_replies.links",
        0,
    ),
    (
        "sections",
        OutboundChoices("buttons", "x", (ChoiceSection((Choice("a"),)),) * 2),
        "too_many",
        "choices.buttons.sections",
        1,
    ),
    ("reaction to nothing", OutboundReaction("", "x"), "invalid", "reactions", None),
    ("button to nowhere", choices("buttons", Choice("t", url="x y")), "invalid", "choices.buttons.url", None),
    ("template without name", OutboundTemplate("", "en"), "invalid", "templates", None),
    (
        "template with a stored file",
        OutboundTemplate("order", "en", media=(OutboundMedia("image", media_id="f"),)),
        "not_offered",
        "template.header",
        None,
    ),
    ("album without files", OutboundAlbum(()), "empty", "album.minimum", 1),
    (
        "album with a file that is too large",
        OutboundAlbum((OutboundMedia("image", url=URL), OutboundMedia("video", media_id="f", size=25 * MIB + 1))),
        "too_large",
        "media.video.max_bytes",
        25 * MIB,
    ),
]


@pytest.mark.parametrize(("label", "part", "code", "limit", "allowed"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_part_is_refused(label: str, part: OutboundPart, code: str, limit: str, allowed: Any) -> None:
    with pytest.raises(ContentRefused) as caught:
        plan([OutboundText("fine"), part])
    assert (caught.value.code, caught.value.limit, caught.value.allowed, caught.value.part) == (code, limit, allowed, 1)


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(ContentRefused) as caught:
        plan([])
    assert caught.value.limit == "parts.minimum"
