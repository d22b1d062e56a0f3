"""Text as the Bot API judges it: HTML into entities counted in UTF-16 units (facts, 4.2, 4.4)."""

from __future__ import annotations

import html
import re

from channels.simulator.wire import as_list, as_number, as_object, as_text
from channels.types import JsonObject, JsonValue

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024

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


_MARKS = {"*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler", "`": "code"}
_MARK = re.compile(r"\\(.)|(\|\||__|[*_~`])|\[([^\]]*)\]\(([^)]*)\)|([>#+\-=|{}.!\[\]()])", re.DOTALL)


def parse_markdown(source: str, *, strict: bool) -> tuple[str, list[JsonValue]]:
    """MarkdownV2 when strict: what has a meaning must be escaped where none is meant. Old Markdown lets it pass."""
    plain: list[str] = []
    entities: list[JsonValue] = []
    open_marks: list[tuple[str, int]] = []
    at, length = 0, 0

    def take(piece: str) -> None:
        nonlocal length
        plain.append(piece)
        length += utf16_length(piece)

    for found in _MARK.finditer(source):
        take(source[at : found.start()])
        at = found.end()
        escaped, mark, words, url, reserved = found.groups()
        if escaped is not None:
            take(escaped)
        elif words is not None:
            if words:
                size = utf16_length(words)
                entities.append({"type": "text_link", "offset": length, "length": size, "url": url})
            take(words)
        elif reserved is not None:
            if strict:
                raise MarkupError(f"character '{reserved}' is reserved and must be escaped with the preceding '\\'")
            take(reserved)
        elif open_marks and open_marks[-1][0] == mark:
            _, start = open_marks.pop()
            if length > start:
                entities.append({"type": _MARKS[mark], "offset": start, "length": length - start})
        else:
            open_marks.append((mark, length))
    take(source[at:])
    if open_marks:
        where = len(source.encode())
        raise MarkupError(f"can't find end of {_MARKS[open_marks[-1][0]].capitalize()} entity at byte offset {where}")
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


# The reactions a bot may set; the heart has no variation selector.
_REACTIONS = """
❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤\u200d🔥
🌚 🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨\u200d💻 👀 🎃 🙈 😇 😨
🤝 ✍ 🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷\u200d♂ 🤷 🤷\u200d♀ 😡
"""
REACTIONS = frozenset(_REACTIONS.split())
