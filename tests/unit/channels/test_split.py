"""Long texts are cut where a reader would cut them, and never inside what belongs together."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.capabilities import TextLimit
from channels.split import measure, split, split_spans

FAMILY = "👩‍👩‍👧"
FRAGMENTS = ["a", "word", " ", "\n", "\n\n", ". ", "é", "e\u0301", FAMILY, "🇩🇪", "\r\n", " \u0301", "。", "x" * 20]


@pytest.mark.parametrize(
    ("text", "maximum", "pieces"),
    [
        ("short", 10, ["short"]),
        ("", 10, []),
        (" \n ", 10, []),
        ("one paragraph\n\nanother one", 20, ["one paragraph", "another one"]),
        ("first line\nsecond line here", 16, ["first line", "second line here"]),
        ("One sentence. Another one.", 20, ["One sentence.", "Another one."]),
        ("several words without end", 13, ["several words", "without end"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("短い文。次の文です。", 6, ["短い文。", "次の文です。"]),
        ("a b", 1, ["a", "b"]),
        ("ab" + " " * 50 + "cd", 10, ["ab", "cd"]),
        (FAMILY * 3, 10, [FAMILY * 2, FAMILY]),
    ],
)
def test_cuts(text: str, maximum: int, pieces: list[str]) -> None:
    assert split(text, TextLimit(maximum)) == pieces


def test_the_channel_counts() -> None:
    assert [measure("é👍", unit) for unit in ("characters", "bytes", "utf16")] == [2, 6, 3]
    assert split("éé", TextLimit(3, "bytes")) == ["é", "é"]
    assert split("👍👍", TextLimit(3, "utf16")) == ["👍", "👍"]


def test_a_protected_stretch_stays_whole() -> None:
    text = "look at this: a very long link text"
    start = text.index("a very")
    assert split(text, TextLimit(24), [(start, len(text) - start)]) == ["look at this:", "a very long link text"]


def test_a_protected_stretch_that_is_too_long_is_cut_all_the_same() -> None:
    assert "".join(split("x" * 25, TextLimit(10), [(0, 25)])) == "x" * 25


def test_a_letter_under_a_pile_of_accents_is_divided_rather_than_lost() -> None:
    pile = "a" + "\u0301" * 30
    pieces = split(pile, TextLimit(10))
    assert "".join(pieces) == pile
    assert all(len(piece) <= 10 for piece in pieces)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join),
    st.integers(min_value=30, max_value=60),
    st.sampled_from(["characters", "bytes", "utf16"]),
)
def test_nothing_is_lost_and_no_grapheme_divided(text: str, maximum: int, unit: str) -> None:
    limit = TextLimit(maximum, unit)  # type: ignore[arg-type]
    spans = split_spans(text, limit)
    borders = {0, *(grapheme.end() for grapheme in regex.finditer(r"\X", text))}
    assert all(start in borders and end in borders for start, end in spans)
    pieces = [text[start:end] for start, end in spans]
    assert all(piece.strip() and measure(piece, limit.unit) <= maximum for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
