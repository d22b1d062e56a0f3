"""Where Instagram's limits differ: text counts bytes, and types of files are few."""

from __future__ import annotations

from typing import Any

import pytest

from channels.errors import ContentRefused
from channels.instagram.adapter import InstagramAdapter
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
from channels.types import JsonObject

plan = InstagramAdapter().plan
URL = "https://files.example/a"
MIB = 1024 * 1024


def choices(style: Any, *offered: Choice, text: str = "Pick") -> OutboundChoices:
    return OutboundChoices(style, text, (ChoiceSection(offered),))


@pytest.mark.parametrize(
    ("label", "text", "sizes"),
    [
        ("1000 ASCII letters are one message", "a" * 1000, [1000]),
        ("1001 are two", "a" * 1001, [1000, 1]),
        ("500 umlauts are one", "ü" * 500, [500]),
        ("501 are two", "ü" * 501, [500, 1]),
        ("333 three-byte letters are one", "漢" * 333, [333]),
        ("334 are two", "漢" * 334, [333, 1]),
        ("a grapheme of 25 bytes is never cut", "👩‍👩‍👧‍👦" * 41, [40 * 7, 7]),
    ],
)
def test_text_is_cut_by_bytes(label: str, text: str, sizes: list[int]) -> None:
    pieces = plan([OutboundText(text)])
    assert [len(piece.text or "") for piece in pieces] == sizes
    assert "".join(piece.text or "" for piece in pieces) == text
    assert all(piece.payload == {"message": {"text": piece.text}} for piece in pieces)


def test_a_caption_becomes_messages_of_its_own_and_is_cut_by_bytes_too() -> None:
    pieces = plan([OutboundMedia("image", url=URL, mime_type="image/png", caption="ü" * 501)])
    linked: JsonObject = {"message": {"attachment": {"type": "image", "payload": {"url": URL}}}}
    assert pieces[0] == Piece(linked, lane="media", patience=30)
    assert [piece.text for piece in pieces[1:]] == ["ü" * 500, "ü"]


def test_gif_by_upload() -> None:
    assert plan([OutboundMedia("image", media_id="f", mime_type="image/gif")]) == (
        Piece({"upload": "image"}, media_ids=("f",), lane="media"),
    )


def test_pdf_by_upload() -> None:
    assert plan([OutboundMedia("document", media_id="f", mime_type="application/pdf")]) == (
        Piece({"upload": "file"}, media_ids=("f",), lane="media"),
    )


def test_a_reaction_keeps_its_emoji() -> None:
    assert plan([OutboundReaction("m_1", "❤️")]) == (Piece({"reaction": {"target": "m_1", "emoji": "❤️"}}),)


def image(name: str, **facts: Any) -> OutboundMedia:
    where: dict[str, Any] = {"media_id": name} if name.startswith("f") else {"url": name}
    return OutboundMedia("image", **where, **facts)


def test_an_album_shows_linked_and_stored_images_in_their_order() -> None:
    album = OutboundAlbum((image("f1"), image(URL), image("f2")), caption="ü" * 501)
    assert plan([album]) == (
        Piece({"album": [None, URL, None]}, media_ids=("f1", "f2"), lane="media", patience=30),
        Piece({"message": {"text": "ü" * 500}}, text="ü" * 500),
        Piece({"message": {"text": "ü"}}, text="ü"),
    )


def test_an_album_of_more_than_ten_images_is_several_and_its_words_come_last() -> None:
    pieces = plan([OutboundAlbum(tuple(image(f"f{number}") for number in range(21)), caption="all")])
    assert [piece.media_ids for piece in pieces] == [
        tuple(f"f{number}" for number in range(10)),
        tuple(f"f{number}" for number in range(10, 20)),
        ("f20",),
        (),
    ]
    assert pieces[2].payload == {"upload": "image"}
    assert pieces[3].text == "all"


def test_what_is_no_image_goes_alone_and_keeps_its_place() -> None:
    gif = OutboundMedia("image", media_id="f3", mime_type="image/gif")
    video = OutboundMedia("video", url=URL, caption="moving")
    pieces = plan([OutboundAlbum((image("f1"), image("f2", caption="two"), video, gif, image("f4")))])
    assert [piece.payload for piece in pieces] == [
        {"album": [None, None]},
        {"message": {"text": "two"}},
        {"message": {"attachment": {"type": "video", "payload": {"url": URL}}}},
        {"message": {"text": "moving"}},
        {"upload": "image"},
        {"upload": "image"},
    ]
    assert [piece.media_ids for piece in pieces] == [("f1", "f2"), (), (), (), ("f3",), ("f4",)]


REFUSED: list[tuple[str, OutboundPart, str, str, Any]] = [
    (
        "webp",
        OutboundMedia("image", media_id="f", mime_type="image/webp"),
        "media_type",
        "media.image.mime_types",
        "image/png, image/jpeg",
    ),
    (
        "word file",
        OutboundMedia("document", media_id="f", mime_type="application/msword"),
        "media_type",
        "media.document.mime_types",
        "application/pdf",
    ),
    (
        "gif by link",
        OutboundMedia("image", url=URL, mime_type="image/gif"),
        "not_offered",
        "media.animation.max_bytes_by_link",
        0,
    ),
    (
        "image above 8 MB",
        OutboundMedia("image", media_id="f", size=8 * MIB + 1),
        "too_large",
        "media.image.max_bytes",
        8 * MIB,
    ),
    (
        "quick replies below too many bytes",
        choices("quick_replies", Choice("A"), text="ü" * 501),
        "too_long",
        "choices.quick_replies.text.maximum",
        1000,
    ),
    (
        "album with a file of another type",
        OutboundAlbum((OutboundMedia("image", url=URL), OutboundMedia("image", url=URL, mime_type="image/webp"))),
        "media_type",
        "media.image.mime_types",
        "image/png, image/jpeg",
    ),
    ("template", OutboundTemplate("order", "en"), "not_offered", "templates", None),
    ("location", OutboundLocation(1.0, 2.0), "not_offered", "location", 0),
    ("contacts", OutboundContacts(()), "not_offered", "contacts", 0),
]


@pytest.mark.parametrize(("label", "part", "code", "limit", "allowed"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_part_is_refused(label: str, part: OutboundPart, code: str, limit: str, allowed: Any) -> None:
    with pytest.raises(ContentRefused) as caught:
        plan([part])
    assert (caught.value.code, caught.value.limit, caught.value.allowed) == (code, limit, allowed)
