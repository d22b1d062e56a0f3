"""Where faults point to when pydantic's location also names the member of a tagged union."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from inbox.kernel.errors import Invalid
from inbox.kernel.payload import validate_json


class Mark(BaseModel):
    kind: Literal["bold"]


class Text(BaseModel):
    type: Literal["text"]
    text: str = Field(min_length=1)
    marks: list[Mark] = Field(default_factory=list)


class Names(BaseModel):
    type: Literal["names"]
    names: list[Mark]
    note: str


class Note(BaseModel):
    parts: list[Annotated[Text | Names, Field(discriminator="type")]] = Field(default_factory=list)
    scores: dict[str, int | str] = Field(default_factory=dict)


NOTE = TypeAdapter(Note)


def parts(**part: object) -> dict[str, object]:
    return {"parts": [part]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(parts(type="text", text=""), ["/body/parts/0/text"], id="the member named like the tag"),
        pytest.param(parts(type="text"), ["/body/parts/0/text"], id="the same, missing"),
        pytest.param(
            parts(type="text", text="a", marks=[{"kind": "x"}]), ["/body/parts/0/marks/0/kind"], id="deeper, beside it"
        ),
        pytest.param(
            parts(type="text", text="a", marks=[{}]), ["/body/parts/0/marks/0/kind"], id="missing deeper, beside it"
        ),
        pytest.param(
            parts(type="names", names=[{"kind": "x"}], note=""), ["/body/parts/0/names/0/kind"], id="deeper, in it"
        ),
        pytest.param(parts(type="names", names=[]), ["/body/parts/0/note"], id="missing beside it"),
        pytest.param(
            {"scores": {"plan": None, "other": "plan"}},
            ["/body/scores/plan", "/body/scores/plan"],
            id="no tag, though another member has this value",
        ),
    ],
)
def test_faults_point_into_what_was_sent_and_not_at_the_tag(body: object, expected: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        validate_json(NOTE, json.dumps(body).encode())
    assert [fault.pointer for fault in refused.value.faults] == expected
