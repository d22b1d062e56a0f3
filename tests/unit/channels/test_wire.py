"""Whatever arrives can be read without an exception, and whatever was read can be stored."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from channels.types import JsonValue
from channels.wire import (
    DEEPEST,
    Undecodable,
    as_id,
    as_integer,
    as_number,
    as_page,
    as_text,
    as_time,
    decode,
    kept,
    kept_object,
    objects,
    plain,
    undecodable,
)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"a\ud800b"', "a\ufffdb"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'{"\u0000k":"v\u0000"}', {"k": "v"}),
        (b'"a\x01b"', "a\x01b"),
        (b'"a\x00b"', "ab"),
        (b'"\xff"', "\ufffd"),
        (b"[NaN, Infinity, -Infinity, 1e999]", [None, None, None, None]),
        (b'["\xff", 12345678901234567890123]', ["\ufffd", 12345678901234567890123.0]),
    ],
)
def test_json_is_read_and_made_storable(body: bytes, value: JsonValue) -> None:
    assert decode(body) == value


@pytest.mark.parametrize("body", [b"", b"{", b"not json", b"[" * 5000, b'["\xff' + b"[" * 5000, b'"\xff" 1'])
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(body)
    assert undecodable(body)["bytes"] == len(body)


def test_a_number_of_ten_thousand_digits_is_no_trap() -> None:
    assert decode(b'["\xff", ' + b"9" * 10_000 + b"]") == ["\ufffd", None]


def test_nesting_is_cut_where_a_writer_would_refuse() -> None:
    deep: JsonValue = "core"
    for _ in range(800):
        deep = [deep]
    copy = kept(deep)
    assert orjson.dumps(copy).count(b"[") == DEEPEST


def test_an_object_stays_one_and_anything_else_becomes_one() -> None:
    assert kept_object(None) is None
    assert kept_object({"a": "b\x00"}) == {"a": "b"}
    assert kept_object([1]) == {"value": [1]}


@pytest.mark.parametrize(
    ("value", "read"),
    [("a", "a"), ("", None), (7, "7"), (True, None), (None, None), ([], None), (1.5, None), ("abcdef", "abc")],
)
def test_texts(value: JsonValue, read: str | None) -> None:
    assert as_text(value, 3) == read


def test_an_id_is_never_cut() -> None:
    assert as_id("abc", 3) == "abc"
    assert as_id("abcd", 3) is None


@pytest.mark.parametrize(
    ("value", "read"),
    [(1, 1.0), ("2.5", 2.5), (" 3 ", 3.0), ("x", None), ("9" * 50, None), ("inf", None), (True, None), (None, None)],
)
def test_numbers(value: JsonValue, read: float | None) -> None:
    assert as_number(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [(1, 1), ("12", 12), (2**63, None), (1.0, 1), (1.5, None), (1e300, None), (False, None), ({}, None)],
)
def test_integers(value: JsonValue, read: int | None) -> None:
    assert as_integer(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1749416383, datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)),
        ("1749416383000", datetime(2025, 6, 8, 20, 59, 43, tzinfo=UTC)),
        (0, None),
        (-1, None),
        (1e18, None),
        ("2025-06-08", None),
    ],
)
def test_times(value: JsonValue, read: datetime | None) -> None:
    assert as_time(value) == read


def test_lists_of_objects_leave_the_rest_out() -> None:
    assert objects([{"a": 1}, 2, None]) == [{"a": 1}]
    assert objects({"a": 1}) == [{"a": 1}]
    assert objects("x") == []


def test_plain_text_is_left_alone() -> None:
    text = "Grüße 👩‍👩‍👧"
    assert plain(text) is text


@pytest.mark.parametrize(
    "link",
    [
        "https://a.test/x:y", "HTTP://a.test", "mailto:ann@a.test", "tel:+1555", "tg://user?id=1", "a.test",
        "a.test:8080/x", "a.test?x=javascript:1", "//a.test/x", "/reel/1",
    ],
)  # fmt: skip
def test_a_link_that_may_be_opened(link: str) -> None:
    assert as_page(link) == link


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "JAVASCRIPT:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)",
        " javascript:alert(1)", "javascript:1/alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd",
        "intent://a#Intent;end", "", None, 7, ["https://a.test"], "https://" + "a" * 40_000,
    ],
)  # fmt: skip
def test_anything_else_is_no_link(link: JsonValue) -> None:
    assert as_page(link) is None
