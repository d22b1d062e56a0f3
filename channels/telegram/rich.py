"""The words of a rich message (Bot API 10.1): nested blocks of nested text, read without its layout."""

from __future__ import annotations

from channels.types import JsonValue
from channels.wire import as_list, as_object

_DEEPEST = 32


def plain_words(rich_message: JsonValue) -> str:
    """One line per block; empty where nothing in it is text."""
    lines: list[str] = []
    _read_blocks(as_object(rich_message).get("blocks"), lines, _DEEPEST)
    return "\n".join(lines)


def _read_blocks(blocks: JsonValue, lines: list[str], depth: int) -> None:
    for item in as_list(blocks) if depth else ():
        block = as_object(item)
        for key in ("summary", "text", "expression"):
            _add(lines, _inline(block.get(key), depth))
        for key in ("items", "blocks"):
            _read_blocks(block.get(key), lines, depth - 1)
        for row in as_list(block.get("cells")):
            _add(lines, " | ".join(_inline(as_object(cell).get("text"), depth) for cell in as_list(row)))
        for button in as_list(block.get("buttons")):
            _add(lines, _inline(as_object(button).get("text"), depth))
        caption = block.get("caption")
        _add(lines, _inline(caption.get("text") if isinstance(caption, dict) else caption, depth))


def _inline(text: JsonValue, depth: int) -> str:
    if isinstance(text, str):
        return text
    if depth and isinstance(text, list):
        return "".join(_inline(item, depth - 1) for item in text)
    if depth and isinstance(text, dict):
        for key in ("text", "expression", "alternative_text"):
            if key in text:
                return _inline(text[key], depth - 1)
        return _inline(as_object(text.get("button")).get("text"), depth - 1)
    return ""


def _add(lines: list[str], line: str) -> None:
    if line.strip():
        lines.append(line)
