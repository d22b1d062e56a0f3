"""Cursors: opaque, exact, and refused when they are not ours."""

from base64 import urlsafe_b64encode
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from inbox.kernel.errors import Invalid
from inbox.kernel.pages import Page, decode_cursor, encode_cursor

SMALL = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))


AWARE = st.datetimes(timezones=st.just(UTC))


@given(TEXT, SMALL, st.floats(allow_nan=False, allow_infinity=False), AWARE, st.uuids(), st.none() | st.booleans())
def test_what_goes_in_comes_out(
    text: str, number: int, ratio: float, moment: datetime, key: UUID, flag: bool | None
) -> None:
    cursor = encode_cursor(text, number, ratio, moment, key, flag)
    keys = decode_cursor(cursor, tuple[str, int, float, datetime, UUID, bool | None])
    assert keys == (text, number, ratio, moment, key, flag)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "é",
        "a",
        "!!!!",
        "AAAA",
        encode_cursor("one"),
        encode_cursor("a", 2, 3),
        encode_cursor("a", "2"),
        encode_cursor("a", 2.5),
        encode_cursor("a", None),
        urlsafe_b64encode(b'{"a":1}').decode(),
        urlsafe_b64encode(b'[["a"],2]').decode(),
        urlsafe_b64encode(b'["a\\u0000",2]').decode(),
        urlsafe_b64encode(b"[" * 5000).decode(),
        urlsafe_b64encode(b'["a",99999999999999999999]').decode(),
        urlsafe_b64encode(b'["a",1e400]').decode(),
    ],
)
def test_any_other_word_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_cursor(cursor, tuple[str, int])
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/query/after", "cursor")]


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"])
def test_an_instant_that_utc_cannot_name_is_refused(moment: str) -> None:
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor(moment), tuple[datetime])


def test_its_own_word_is_taken() -> None:
    assert decode_cursor(urlsafe_b64encode(b'["a",2]').decode(), tuple[str, int]) == ("a", 2)


@given(st.text())
def test_no_text_breaks_it(cursor: str) -> None:
    with suppress(Invalid):
        decode_cursor(cursor, tuple[str])


class ThingOut(BaseModel):
    name: str


class Board(Page[ThingOut]):
    epoch: str
    position: int


def test_a_page_can_carry_its_place_in_the_log() -> None:
    page = Board(items=[ThingOut(name="a")], epoch="e", position=7)
    assert page.model_dump_json() == '{"items":[{"name":"a"}],"next":null,"epoch":"e","position":7}'
    assert Page[ThingOut].__name__ == "ThingOutPage"
