"""Formatted text in WhatsApp's own marks: ``*bold*``, ``_italic_``, ``~struck~``, back-ticks for code.

Marks count towards the limit of a text, so they are put in before it is split; the stretches they enclose, and bare
links, are reported so that no cut falls inside one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from channels.content import Entity

_MARKS: Final = {"bold": "*", "italic": "_", "strikethrough": "~", "code": "`", "pre": "```"}
_LINK: Final = re.compile(r"https?://\S+")


def marked_up(text: str, entities: Sequence[Entity]) -> tuple[str, list[tuple[int, int]]]:
    """``text`` with marks, and the (offset, length) of the stretches in it that shall stay whole."""
    before: dict[int, str] = {}
    after: dict[int, str] = {}
    stretches: list[tuple[int, int]] = []
    # Longer ones first: their marks have to stand outside those of the ones within them.
    for entity in sorted(entities, key=lambda entity: (entity.offset, -entity.length)):
        start, end = _trimmed(text, max(entity.offset, 0), min(entity.offset + entity.length, len(text)))
        if start >= end:
            continue
        mark = _MARKS.get(entity.kind, "")
        before[start] = before.get(start, "") + mark
        after[end] = mark + after.get(end, "")
        if entity.kind == "link" and entity.url and entity.url != text[start:end]:
            after[end] += f" ({entity.url})"
        stretches.append((start, end))
    marked = text
    protected: list[tuple[int, int]] = []
    if stretches:
        moved = _moved(text, before, after)
        marked = "".join(
            after.get(index, "") + before.get(index, "") + text[index : index + 1] for index in range(len(text) + 1)
        )
        protected = [(moved[start], moved[end] - moved[start]) for start, end in stretches]
    protected += [(link.start(), link.end() - link.start()) for link in _LINK.finditer(marked)]
    return marked, protected


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """WhatsApp shows a mark as a mark only when it touches what it encloses."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _moved(text: str, before: dict[int, str], after: dict[int, str]) -> list[int]:
    """For each offset of ``text``, where it comes to lie: behind the marks that close there, before those that open."""
    moved, position = [], 0
    for index in range(len(text) + 1):
        position += len(after.get(index, ""))
        moved.append(position)
        position += len(before.get(index, "")) + 1
    return moved
