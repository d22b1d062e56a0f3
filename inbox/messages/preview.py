"""One line that stands for a message in lists: its words, or what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from channels.content import (
    ChoicePart,
    ContactsPart,
    LocationPart,
    MediaPart,
    OrderPart,
    Part,
    SharePart,
    StoryPart,
    SystemPart,
    TextPart,
    UnsupportedPart,
)
from channels.outbound import (
    OutboundAlbum,
    OutboundChoices,
    OutboundMedia,
    OutboundPart,
    OutboundTemplate,
    OutboundText,
)

UNSENT: Final = "[unsent]"


def preview_of(parts: Sequence[Part]) -> str:
    """Words of the customer where there are any; else the kind of content in brackets."""
    for part in parts:
        words = _words(part)
        if words:
            return " ".join(words.split())
    return f"[{parts[0].type}]" if parts else ""


def _words(part: Part) -> str | None:
    match part:
        case TextPart(text=text):
            return text
        case MediaPart(caption=caption, emoji=emoji):
            return caption or emoji
        case ChoicePart(title=title, payload=payload):
            return title or payload
        case LocationPart(name=name, address=address):
            return name or address
        case ContactsPart(cards=cards):
            return cards[0].name if cards else None
        case OrderPart(text=text) | SystemPart(text=text):
            return text
        case SharePart(title=title):
            return title
        case StoryPart() | UnsupportedPart():
            return None


def outgoing_preview(parts: Sequence[OutboundPart]) -> str:
    """The same for what we send."""
    for part in parts:
        words = None
        match part:
            case OutboundText(text=text) | OutboundChoices(text=text):
                words = text
            case OutboundMedia(caption=caption, kind=kind):
                words = caption or f"[{kind}]"
            case OutboundAlbum(caption=caption, items=items):
                words = caption or f"[{items[0].kind}]"
            case OutboundTemplate(name=name, text=text):
                words = text or f"[{name}]"
        if words:
            return " ".join(words.split())
    return f"[{parts[0].type}]" if parts else ""
