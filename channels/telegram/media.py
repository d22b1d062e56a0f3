"""Files as calls of the Bot API: one by one, or in albums of two to ten (channel facts, 4.3, 4.4).

A stored file is uploaded with the call: ``"files"`` of the payload names the form fields, in the order of
``Piece.media_ids``; inside an album an item points at its field by ``attach://``.
A caption that is too long, or that the kind has no room for, follows as a text: the words arrive whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from channels.capabilities import MediaRule
from channels.content import Entity, MediaKind
from channels.limits import check_media, in_album
from channels.outbound import OutboundAlbum, OutboundMedia, OutboundText, Piece
from channels.split import fits
from channels.telegram.capabilities import ALBUM, CAPABILITIES, CHANNEL
from channels.telegram.entities import clip_entities, write_entities
from channels.telegram.texts import render_text
from channels.types import JsonObject, JsonValue
from channels.wire import plain

CALLS: Final[dict[MediaKind, tuple[str, str]]] = {
    "image": ("sendPhoto", "photo"),
    "video": ("sendVideo", "video"),
    "audio": ("sendAudio", "audio"),
    "voice": ("sendVoice", "voice"),
    "document": ("sendDocument", "document"),
    "animation": ("sendAnimation", "animation"),
    "sticker": ("sendSticker", "sticker"),
    "video_note": ("sendVideoNote", "video_note"),
}
"""Method, and the field that holds the file."""

_FAMILIES: Final[dict[MediaKind, str]] = {
    "image": "pictures",
    "video": "pictures",
    "audio": "audio",
    "document": "document",
}
"""What may stand together in one album; the other kinds go alone."""


def render_media(part: OutboundMedia, index: int) -> Iterator[Piece]:
    caption, rest = checked_caption(part, index)
    method, field = CALLS[part.kind]
    params: JsonObject = {} if part.url is None else {field: part.url}
    params |= caption_params(part, caption)
    payload: JsonObject = {"method": method, "params": params}
    if part.stored:
        payload["files"] = [field]
    yield Piece(payload, caption or None, part.stored, "media")
    yield from _following(part, rest, index)


def render_album(part: OutboundAlbum, index: int) -> Iterator[Piece]:
    """As few albums as the kinds allow, in order; what would stand alone in one is sent as a single file."""
    for items in in_album(part, max(len(part.items), 1), index):
        for family, run in groupby(items, key=lambda item: _FAMILIES.get(item.kind)):
            chosen, most = list(run), ALBUM if family else 1
            for start in range(0, len(chosen), most):
                yield from _render_group(chosen[start : start + most], index)


def _render_group(items: Sequence[OutboundMedia], index: int) -> Iterator[Piece]:
    if len(items) == 1:
        yield from render_media(items[0], index)
        return
    media: list[JsonValue] = []
    fields: list[JsonValue] = []
    stored: list[str] = []
    captions: list[str] = []
    left: list[tuple[OutboundMedia, str]] = []
    for item in items:
        caption, rest = checked_caption(item, index)
        source = item.url
        if item.media_id is not None:
            source = f"attach://file{len(fields)}"
            fields.append(f"file{len(fields)}")
            stored.append(item.media_id)
        shown: JsonObject = {"type": CALLS[item.kind][1], "media": source}
        if caption:
            shown |= caption_params(item, caption)
            captions.append(caption)
        media.append(shown)
        left.append((item, rest))
    payload: JsonObject = {"method": "sendMediaGroup", "params": {"media": media}}
    if fields:
        payload["files"] = fields
    yield Piece(payload, "\n".join(captions) or None, tuple(stored), "media")
    for item, rest in left:
        yield from _following(item, rest, index)


def checked_caption(part: OutboundMedia, index: int) -> tuple[str, str]:
    """The caption that goes with the file, and the words that have to follow it: one of the two is empty.

    Raises ``ContentRefused`` for the file itself.
    """
    rule = check_media(replace(part, caption=None), CAPABILITIES, part=index, channel=CHANNEL)
    words = plain(part.caption or "").strip()
    return (words, "") if _takes(rule, words) else ("", words)


def _takes(rule: MediaRule, words: str) -> bool:
    return rule.caption is not None and fits(words, rule.caption)


def caption_params(part: OutboundMedia, caption: str) -> JsonObject:
    """The caption with its entities, for a call or an item of an album."""
    if not caption:
        return {}
    written = write_entities(caption, _entities(part, caption))
    return {"caption": caption, "caption_entities": written} if written else {"caption": caption}


def _entities(part: OutboundMedia, words: str) -> tuple[Entity, ...]:
    """As counted from the first word: the blanks before it are not sent."""
    start = plain(part.caption or "").index(words)
    return clip_entities(part.entities, start, start + len(words))


def _following(part: OutboundMedia, words: str, index: int) -> list[Piece]:
    return render_text(OutboundText(words, _entities(part, words)), index) if words else []
