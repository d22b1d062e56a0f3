"""Bold words and links of a caption reach the customer as each channel can show them."""

from __future__ import annotations

from typing import Any

import pytest

from channels.content import Entity
from channels.outbound import OutboundAlbum, OutboundMedia
from channels.registry import ADAPTERS
from channels.telegram.edits import plan_edit

LINK = "https://shop.example/1"
URL = "https://files.example/a"
BOLD = Entity("bold", 2, 3)
CAPTION = "  Now 😀 half price"
"""The blanks in front are not sent."""
HALF = Entity("link", 8, 4, LINK)


def image(caption: str = CAPTION, *entities: Entity) -> OutboundMedia:
    return OutboundMedia("image", url=URL, mime_type="image/png", caption=caption, entities=entities or (BOLD, HALF))


def plan(kind: str, *parts: Any) -> list[Any]:
    return [piece.payload for piece in ADAPTERS[kind].plan(parts)]


WRITTEN = [
    {"type": "bold", "offset": 0, "length": 3},
    {"type": "text_link", "offset": 7, "length": 4, "url": LINK},
]
"""In UTF-16 units: the smiling face counts two."""


def test_telegram_keeps_them() -> None:
    [payload] = plan("telegram", image())
    assert payload["params"] == {"photo": URL, "caption": CAPTION.strip(), "caption_entities": WRITTEN}


def test_telegram_keeps_them_in_an_album() -> None:
    [payload] = plan("telegram", OutboundAlbum((image(), image("plain", Entity("bold", 0, 5)))))
    assert [one["caption_entities"] for one in payload["params"]["media"]] == [
        WRITTEN,
        [{"type": "bold", "offset": 0, "length": 5}],
    ]


def test_telegram_keeps_them_where_the_words_have_to_follow() -> None:
    sticker = OutboundMedia("sticker", url="https://files.example/a.webp", caption=CAPTION, entities=(BOLD, HALF))
    _, words = plan("telegram", sticker)
    assert words["params"] == {"text": CAPTION.strip(), "entities": WRITTEN}


def test_telegram_keeps_them_in_an_edit() -> None:
    edit = plan_edit((OutboundMedia("image", media_id="f", caption=CAPTION, entities=(BOLD, HALF)),))
    assert (edit.method, edit.params) == (
        "editMessageCaption",
        {"caption": CAPTION.strip(), "caption_entities": WRITTEN},
    )


def test_whatsapp_writes_its_own_marks() -> None:
    [payload] = plan("whatsapp", image())
    assert payload["image"]["caption"] == f"*Now* 😀 half ({LINK}) price"
    _, words = plan(
        "whatsapp",
        OutboundMedia("audio", url=URL, mime_type="audio/aac", caption="Now", entities=(Entity("bold", 0, 3),)),
    )
    assert words["text"]["body"] == "*Now*"


@pytest.mark.parametrize("kind", ["messenger", "instagram"])
def test_meta_s_messages_are_plain_and_keep_the_link(kind: str) -> None:
    for part in (image(), OutboundAlbum((image(),))):
        _, words = plan(kind, part)
        assert words["message"]["text"].strip() == f"Now 😀 half ({LINK}) price"
