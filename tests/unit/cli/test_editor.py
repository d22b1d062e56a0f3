"""Keys to lines: what is typed while messages come in."""

from __future__ import annotations

import pytest

from inbox.demo.editor import Editor, EndOfInput


@pytest.mark.parametrize(
    ("keys", "lines", "left"),
    [
        pytest.param("hello\r", ["hello"], "", id="enter"),
        pytest.param("a\nb\nc", ["a", "b"], "c", id="several lines"),
        pytest.param("grüße 🙂 日本\r", ["grüße 🙂 日本"], "", id="any script"),
        pytest.param("abc\x7f\x08d", [], "ad", id="erase"),
        pytest.param("one two  \x17", [], "one ", id="erase a word"),
        pytest.param("one two\x15", [], "", id="erase all"),
        pytest.param("a\x1b[Db\x1b[3~c\x1bOHd", [], "abcd", id="keys that mean nothing here"),
        pytest.param("\x1b[200~two\rlines\x1b[201~\r", ["two\nlines"], "", id="a paste is one line"),
        pytest.param("x\x00\x07\x01y", [], "xy", id="control characters"),
    ],
)
def test_keys(keys: str, lines: list[str], left: str) -> None:
    editor = Editor()

    assert editor.feed(keys) == lines
    assert editor.text == left


@pytest.mark.parametrize("split", range(1, len("a\x1b[200~b\rc\x1b[201~\r")))
def test_sequences_may_arrive_in_pieces(split: int) -> None:
    keys = "a\x1b[200~b\rc\x1b[201~\r"
    editor = Editor()

    assert editor.feed(keys[:split]) + editor.feed(keys[split:]) == ["ab\nc"]


def test_earlier_lines_come_back() -> None:
    editor = Editor()
    editor.feed("first\rsecond\rsecond\r")

    editor.feed("\x1b[A")
    assert editor.text == "second"
    editor.feed("\x1b[A\x1b[A\x1b[A")
    assert editor.text == "first"
    editor.feed("\x1b[B\x1b[B")
    assert editor.text == ""


def test_end_of_input_only_on_an_empty_line() -> None:
    editor = Editor()

    assert editor.feed("x\x04") == []
    with pytest.raises(EndOfInput):
        editor.feed("\x7f\x04")


ACCENTED = "e\u0301e\u0301"


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("short", 10, "short"),
        ("0123456789", 4, "6789"),
        ("日本語", 4, "本語"),
        ("日本語", 5, "本語"),
        (ACCENTED, 2, ACCENTED),
    ],
)
def test_the_end_of_a_long_line_is_shown(text: str, columns: int, shown: str) -> None:
    editor = Editor()
    editor.text = text

    assert editor.shown(columns) == shown
