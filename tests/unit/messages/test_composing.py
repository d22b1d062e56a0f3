"""A client's parts become neutral ones: measured by what this very account can do, with what our files tell."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import pytest

from channels.registry import ADAPTERS
from channels.types import Account
from inbox.connections.directory import Channel
from inbox.media.schemas import MediaView
from inbox.messages import repository as rows
from inbox.messages.composing import Composer, ContentTooLarge
from inbox.messages.schemas import MediaIn, ReactionIn

ID = UUID(int=1)
PAGE, LOGIN = {"stack": "page"}, {"stack": "login"}


def composer(kind: str, options: dict[str, str], files: dict[UUID, MediaView] | None = None) -> Composer:
    channel = Channel(ID, ID, ID, kind, kind, "enabled", Account(kind, "1", "token", options=options), ADAPTERS[kind])
    return Composer(cast(Any, None), cast(Any, None), channel, ID, files or {})


@pytest.fixture
def _known_message(monkeypatch: pytest.MonkeyPatch) -> None:
    async def external_id_of(*_: object) -> str:
        return "m_1"

    monkeypatch.setattr(rows, "external_id_of", external_id_of)


@pytest.mark.usefixtures("_known_message")
@pytest.mark.parametrize(("options", "emoji"), [(PAGE, "❤️"), (PAGE, "❤"), (PAGE, None), (LOGIN, "😂")])
async def test_a_reaction_that_the_account_can_make(options: dict[str, str], emoji: str | None) -> None:
    composed = await composer("instagram", options).compose([ReactionIn(type="reaction", message_id=ID, emoji=emoji)])
    assert len(composed.parts) == 1


@pytest.mark.usefixtures("_known_message")
@pytest.mark.parametrize(
    ("options", "emoji", "limit"),
    [(PAGE, "😂", "reaction_emoji"), (PAGE, "abc", "reaction_emoji"), (LOGIN, "abc", "reactions")],
)
async def test_a_reaction_that_it_cannot_is_refused(options: dict[str, str], emoji: str, limit: str) -> None:
    with pytest.raises(ContentTooLarge) as refused:
        await composer("instagram", options).compose([ReactionIn(type="reaction", message_id=ID, emoji=emoji)])
    assert (refused.value.facts["limit"], refused.value.facts["pointer"]) == (limit, "/body/parts/0")


async def test_the_size_of_our_own_file_goes_along() -> None:
    view = MediaView(ID, "image", "stored", "image/png", 10, 6000, 4001, None, None)
    given = MediaIn(type="media", kind="image", media_id=ID)
    [media] = (await composer("telegram", {}, {ID: view}).compose([given])).parts
    assert media.type == "media"
    assert (media.width, media.height) == (6000, 4001)
