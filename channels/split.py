"""Cutting a long text into messages: nothing but white space at a cut is lost, and no grapheme is ever divided.

Cuts prefer a paragraph, then a line, a sentence, a word; only a text without any of them is cut between two graphemes.
A ``protected`` stretch (a link, a formatted run) stays whole unless it alone exceeds the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import regex

from channels.capabilities import TextLimit, TextUnit

_GRAPHEME: Final = regex.compile(r"\X")
_SENTENCE_ENDS: Final = frozenset(".!?…。！？")
_ENDS_WITHOUT_SPACE: Final = frozenset("。！？")
_EARLIEST: Final = 0.5
"""A border before this share of a message is not worth it: the pieces would be many and short."""


def measure(text: str, unit: TextUnit) -> int:
    """The length of ``text`` as the channel counts it."""
    if unit == "characters":
        return len(text)
    return len(text.encode("utf-8")) if unit == "bytes" else len(text.encode("utf-16-le")) // 2


def fits(text: str, limit: TextLimit) -> bool:
    return measure(text, limit.unit) <= limit.maximum


def split(text: str, limit: TextLimit, protected: Sequence[tuple[int, int]] = ()) -> list[str]:
    """The pieces of ``text``, each within ``limit`` and none blank. ``protected``: (offset, length) in code points.

    A single grapheme that is larger than the limit (a letter under a pile of accents) is the one thing that is divided,
    between code points.
    """
    return [text[start:end] for start, end in split_spans(text, limit, protected)]


def split_spans(text: str, limit: TextLimit, protected: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """As ``split``, but the stretches (start, end) of ``text``, so that entities can be moved to their piece."""
    if fits(text, limit):
        return [(0, len(text))] if text and not text.isspace() else []
    graphemes = _graphemes(text, limit)
    starts = [0]
    for grapheme in graphemes:
        starts.append(starts[-1] + len(grapheme))
    sizes = [measure(grapheme, limit.unit) for grapheme in graphemes]
    forbidden = _inside(protected, starts)
    spans: list[tuple[int, int]] = []
    first = 0
    while (first := _skip_blank(graphemes, first)) < len(graphemes):
        last = _reach(sizes, first, limit.maximum)
        if last < len(graphemes):
            last = _best_cut(graphemes, first, last, forbidden)
        end = last
        while graphemes[end - 1].isspace():
            end -= 1
        spans.append((starts[first], starts[end]))
        first = last
    return spans


def _graphemes(text: str, limit: TextLimit) -> list[str]:
    found: list[str] = []
    for grapheme in _GRAPHEME.findall(text):
        if measure(grapheme, limit.unit) <= limit.maximum:
            found.append(grapheme)
        else:
            found.extend(grapheme)
    return found


def _inside(protected: Sequence[tuple[int, int]], starts: list[int]) -> frozenset[int]:
    """Indexes of graphemes before which a cut would fall inside a protected stretch."""
    if not protected:
        return frozenset()
    at = {start: index for index, start in enumerate(starts)}
    return frozenset(
        at[position]
        for offset, length in protected
        for position in range(offset + 1, offset + length)
        if position in at
    )


def _skip_blank(graphemes: list[str], index: int) -> int:
    while index < len(graphemes) and graphemes[index].isspace():
        index += 1
    return index


def _reach(sizes: list[int], first: int, maximum: int) -> int:
    total = 0
    for index in range(first, len(sizes)):
        total += sizes[index]
        if total > maximum:
            return max(index, first + 1)
    return len(sizes)


def _best_cut(graphemes: list[str], first: int, last: int, forbidden: frozenset[int]) -> int:
    """Where to cut in ``(first, last]``: the latest border of the best kind that lies far enough on."""
    earliest = first + int((last - first) * _EARLIEST)
    best, best_rank = 0, 0
    word = 0
    for cut in range(last, first, -1):
        if cut in forbidden:
            continue
        rank = _border(graphemes, cut)
        if cut >= earliest and rank > best_rank:
            best, best_rank = cut, rank
        elif rank and not word:
            word = cut
        if cut < earliest and (best or word):
            break
    if best or word:
        return best or word
    # No border at all: the latest grapheme that is not inside a protected stretch, else simply the limit.
    return next((cut for cut in range(last, first, -1) if cut not in forbidden), last)


def _border(graphemes: list[str], cut: int) -> int:
    """How good a cut before grapheme ``cut`` is: 4 paragraph, 3 line, 2 sentence, 1 word, 0 none.

    The white space may stand on either side of the cut, since it is dropped on both.
    """
    before, after = graphemes[cut - 1], graphemes[cut] if cut < len(graphemes) else ""
    if not (before.isspace() or after.isspace()):
        return 2 if before in _ENDS_WITHOUT_SPACE else 0
    if _is_line_end(before) or _is_line_end(after):
        beyond = graphemes[cut - 2] if cut >= 2 else ""
        return 4 if (_is_line_end(before) and (_is_line_end(after) or _is_line_end(beyond))) else 3
    ends_sentence = before in _SENTENCE_ENDS or (cut >= 2 and before.isspace() and graphemes[cut - 2] in _SENTENCE_ENDS)
    return 2 if ends_sentence else 1


def _is_line_end(grapheme: str) -> bool:
    return grapheme in ("\n", "\r\n", "\r", "\u2028", "\u2029")
