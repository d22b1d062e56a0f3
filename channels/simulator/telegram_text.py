"""Text as the Bot API judges it: HTML into entities counted in UTF-16 units, markup checked (facts, 4.2, 4.4)."""

from __future__ import annotations

import html
import re

from channels.simulator.wire import as_list, as_number, as_object, as_text
from channels.types import JsonObject, JsonValue

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
CALLBACK_BYTES = 64

_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*)([^<>]*)>")
_HREF = re.compile(r"""href\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ENTITY_TYPES = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler", "span": "spoiler",
    "code": "code", "pre": "pre", "blockquote": "blockquote", "a": "text_link",
}  # fmt: skip


class MarkupError(ValueError):
    """Said behind "can't parse entities:"."""


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def parse_html(source: str) -> tuple[str, list[JsonValue]]:
    plain: list[str] = []
    entities: list[JsonValue] = []
    open_tags: list[tuple[str, int, str | None]] = []
    at, length = 0, 0

    def take(piece: str) -> None:
        nonlocal length
        if "<" in piece:
            raise MarkupError(f"unsupported start tag at byte offset {len(source[:at].encode())}")
        text = html.unescape(piece)
        plain.append(text)
        length += utf16_length(text)

    for tag in _TAG.finditer(source):
        take(source[at : tag.start()])
        at = tag.end()
        name = tag[2].lower()
        offset = len(source[: tag.start()].encode())
        if name not in _ENTITY_TYPES:
            raise MarkupError(f'unsupported start tag "{name}" at byte offset {offset}')
        if not tag[1]:
            href = _HREF.search(tag[3])
            open_tags.append((name, length, html.unescape(href[1] or href[2] or "") if href else None))
            continue
        if not open_tags or open_tags[-1][0] != name:
            raise MarkupError(f"unmatched end tag at byte offset {offset}")
        _, start, link = open_tags.pop()
        entity: JsonObject = {"type": _ENTITY_TYPES[name], "offset": start, "length": length - start}
        if name == "a":
            entity["url"] = link or ""
        if length > start:
            entities.append(entity)
    take(source[at:])
    if open_tags:
        raise MarkupError(f'can\'t find end tag corresponding to start tag "{open_tags[-1][0]}"')
    return "".join(plain), entities


def check_entities(text: str, entities: JsonValue) -> list[JsonValue]:
    """Entities given by the bot; those outside the text are refused."""
    length = utf16_length(text)
    for entity in map(as_object, as_list(entities)):
        offset, size = as_number(entity.get("offset")), as_number(entity.get("length"))
        if as_text(entity.get("type")) is None or offset is None or size is None:
            raise MarkupError("an entity needs type, offset and length")
        if offset < 0 or size <= 0 or offset + size > length:
            raise MarkupError("an entity lies outside the text")
    return as_list(entities)


def markup_trouble(markup: JsonValue) -> str | None:
    """What is wrong with ``reply_markup``; ``None`` when nothing is."""
    if markup is None:
        return None
    if not isinstance(markup, dict):
        return "object expected as reply markup"
    if "inline_keyboard" not in markup:
        known = {"keyboard", "remove_keyboard", "force_reply"}
        return None if known & markup.keys() else "can't parse reply keyboard markup JSON object"
    for row in as_list(markup["inline_keyboard"]):
        if not isinstance(row, list):
            return "can't parse inline keyboard: row must be an Array"
        for button in map(as_object, row):
            if not as_text(button.get("text")):
                return "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
            data = as_text(button.get("callback_data"))
            if data is None and len(button) < 2:
                return "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
            if data is not None and not 1 <= len(data.encode()) <= CALLBACK_BYTES:
                return "BUTTON_DATA_INVALID"
    return None


# The reactions a bot may set; the heart has no variation selector.
_REACTIONS = """
❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤\u200d🔥
🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨\u200d💻 👀 🎃 🙈 😇 😨
🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷\u200d♂ 🤷 🤷\u200d♀ 😡
"""
REACTIONS = frozenset(_REACTIONS.split())
