"""What a client may send: entities lie within their text, and what is a link leads somewhere."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from channels.content import Entity
from inbox.messages.schemas import SendIn

TEXT = {"type": "text", "text": "see 😀!"}
FILE = {"type": "media", "kind": "image", "url": "https://a.test/i.png", "caption": "see 😀!"}
parts = pytest.mark.parametrize("part", [TEXT, FILE], ids=["text", "caption"])


def entity(**facts: object) -> dict[str, object]:
    return {"kind": "bold", "offset": 0, "length": 1, **facts}


def order(part: dict[str, Any], *entities: dict[str, object]) -> SendIn:
    return SendIn.model_validate({"parts": [{**part, "entities": list(entities)}]})


def wrong(part: dict[str, Any], *entities: dict[str, object]) -> tuple[tuple[int | str, ...], str]:
    """Where and why."""
    with pytest.raises(ValidationError) as refused:
        order(part, *entities)
    [fault] = refused.value.errors()
    return fault["loc"], fault["msg"]


@parts
def test_entities_within_the_text_are_taken(part: dict[str, Any]) -> None:
    [taken] = order(part, entity(), entity(offset=4, length=2)).parts
    assert [one.entity() for one in taken.entities] == [Entity("bold", 0, 1), Entity("bold", 4, 2)]  # type: ignore[union-attr]


@parts
@pytest.mark.parametrize(("offset", "length"), [(6, 1), (5, 2), (0, 7), (0, 10**30)])
def test_an_entity_behind_the_text_is_refused(part: dict[str, Any], offset: int, length: int) -> None:
    where, why = wrong(part, entity(), entity(offset=offset, length=length))
    assert where == ("parts", 0, part["type"], "entities")
    assert "6 code points" in why


def test_without_a_caption_there_is_nothing_to_mark() -> None:
    assert "0 code points" in wrong({**FILE, "caption": None}, entity())[1]


@parts
@pytest.mark.parametrize(
    "url",
    ["https://a.test", "HTTP://a.test/x?y=javascript:1", "mailto:ann@a.test", "tel:+15551230001", "tg://user?id=42"],
)
def test_a_link_that_leads_somewhere(part: dict[str, Any], url: str) -> None:
    assert order(part, entity(kind="link", url=url))


@parts
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)",
        "data:text/html,x", "vbscript:x", "file:///etc/passwd", "https:", "https://a b", "a.test", "//a.test", "", None,
    ],
)  # fmt: skip
def test_a_link_that_does_not(part: dict[str, Any], url: str | None) -> None:
    where, why = wrong(part, entity(kind="link", url=url))
    assert where == ("parts", 0, part["type"], "entities", 0, "url")
    assert "url" in why


def test_a_script_is_refused_whatever_it_is_called() -> None:
    assert wrong(TEXT, entity(kind="mention", url="javascript:alert(1)"))[0][-1] == "url"


def test_only_a_link_needs_one() -> None:
    assert order(TEXT, entity(kind="mention"), entity(kind="mention", url="tg://user?id=42"))


def test_faults_of_the_text_itself_are_told_alone() -> None:
    assert wrong({**TEXT, "text": ""}, entity(length=9))[0] == ("parts", 0, "text", "text")
