"""Formatting: Telegram counts UTF-16 code units, we count code points. Offsets that fall inside a surrogate pair widen
to the whole character; what lies outside the text is cut off or left out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from channels.content import Entity, EntityKind
from channels.types import JsonObject, JsonValue
from channels.wire import as_integer, as_object, as_page, as_text, objects

_KINDS: Final[dict[str, EntityKind]] = {
    "bold": "bold",
    "italic": "italic",
    "underline": "underline",
    "strikethrough": "strikethrough",
    "spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "quote",
    "expandable_blockquote": "quote",
    "url": "link",
    "text_link": "link",
    "mention": "mention",
    "text_mention": "mention",
    "hashtag": "hashtag",
    "cashtag": "hashtag",
    "bot_command": "command",
    "email": "email",
    "phone_number": "phone",
    "custom_emoji": "custom_emoji",
}
_FORMATS: Final[dict[EntityKind, str]] = {
    "bold": "bold",
    "italic": "italic",
    "underline": "underline",
    "strikethrough": "strikethrough",
    "spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "quote": "blockquote",
}
"""What is sent as it is. Hashtags, commands, plain links and the like are found by Telegram itself."""
_USER_URL: Final = "tg://user?id="
_EMOJI_URL: Final = "tg://emoji?id="


class Units:
    """Places in one text, as code points and as UTF-16 code units."""

    __slots__ = ("_starts", "length")

    def __init__(self, text: str) -> None:
        self.length = len(text)
        astral = not text.isascii() and max(text) > "\uffff"
        self._starts = (
            list(accumulate((2 if character > "\uffff" else 1 for character in text), initial=0)) if astral else None
        )

    def start_of(self, unit: int) -> int:
        """The code point that holds this unit."""
        return unit if self._starts is None else bisect_right(self._starts, unit) - 1

    def end_of(self, unit: int) -> int:
        """The first code point that begins at or after this unit."""
        return unit if self._starts is None else bisect_left(self._starts, unit)

    def unit_at(self, point: int) -> int:
        return point if self._starts is None else self._starts[point]


def read_entities(text: str, raw: JsonValue) -> tuple[Entity, ...]:
    """The provider's entities in code points; those that make no sense are left out, the text stays."""
    items = objects(raw)
    if not items:
        return ()
    units = Units(text)
    found: list[Entity] = []
    for item in items:
        offset, length = as_integer(item.get("offset")), as_integer(item.get("length"))
        if offset is None or length is None or offset < 0 or length <= 0:
            continue
        start = min(units.start_of(offset), units.length)
        end = min(units.end_of(offset + length), units.length)
        if start < end:
            name = as_text(item.get("type")) or "other"
            kind = _KINDS.get(name, "other")
            found.append(Entity(kind, start, end - start, _url(name, item, text[start:end])))
    return tuple(found)


def _url(name: str, item: JsonObject, words: str) -> str | None:
    if name == "text_link":
        return as_page(item.get("url"))
    if name == "url":
        return as_page(words)
    if name == "text_mention":
        user = as_integer(as_object(item.get("user")).get("id"))
        return None if user is None else f"{_USER_URL}{user}"
    if name == "custom_emoji":
        emoji = as_text(item.get("custom_emoji_id"), 64)
        return None if emoji is None else f"{_EMOJI_URL}{emoji}"
    return None


def clip_entities(entities: Iterable[Entity], start: int, end: int) -> tuple[Entity, ...]:
    """The entities of ``text[start:end]``, counted from its beginning; one that reaches across is cut."""
    clipped: list[Entity] = []
    for entity in entities:
        first, last = max(entity.offset, start), min(entity.offset + entity.length, end)
        if first < last:
            clipped.append(Entity(entity.kind, first - start, last - first, entity.url))
    return tuple(clipped)


def write_entities(text: str, entities: Sequence[Entity]) -> list[JsonValue]:
    """As the Bot API wants them."""
    if not entities:
        return []
    units = Units(text)
    written: list[JsonValue] = []
    for entity in entities:
        start, end = max(entity.offset, 0), min(entity.offset + entity.length, units.length)
        form = _form(entity, text[start:end]) if start < end else None
        if form is not None:
            offset = units.unit_at(start)
            written.append({**form, "offset": offset, "length": units.unit_at(end) - offset})
    return written


def _form(entity: Entity, words: str) -> JsonObject | None:
    if entity.kind in _FORMATS:
        return {"type": _FORMATS[entity.kind]}
    url = entity.url
    if url is None:
        return None
    if entity.kind == "link":
        return None if url == words else {"type": "text_link", "url": url}
    user, emoji = url.removeprefix(_USER_URL), url.removeprefix(_EMOJI_URL)
    if entity.kind == "mention" and user != url and user.isascii() and user.isdigit() and len(user) <= 18:
        return {"type": "text_mention", "user": {"id": int(user)}}
    if entity.kind == "custom_emoji" and emoji != url:
        return {"type": "custom_emoji", "custom_emoji_id": emoji}
    return None
