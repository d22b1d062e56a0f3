"""What an agent says to `inbox watch` becomes the requests that any client would make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from inbox.conversations.schemas import ConversationView
from inbox.demo.api import Api
from inbox.demo.board import Board, Entry
from inbox.demo.commands import Commands, waiting
from inbox.realtime.client import StreamClient

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
THREAD, CHANNEL, CONTACT, BOT = UUID(int=30), UUID(int=10), UUID(int=20), UUID(int=2)


class Requests:
    """An API that remembers what was asked of it."""

    def __init__(self, bots: list[dict[str, Any]]) -> None:
        self.posted: list[tuple[str, Any]] = []
        self._bots = bots

    async def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        self.posted.append((path, body))
        return {}

    async def all(self, path: str) -> list[dict[str, Any]]:
        assert path == "/v1/bots"
        return self._bots


def bot(**fields: Any) -> dict[str, Any]:
    return {"id": str(BOT), "enabled": True, "channels": [str(CHANNEL)], **fields}


async def said(line: str, *bots: dict[str, Any]) -> tuple[list[tuple[str, Any]], list[str]]:
    """What was requested, and what was said to the agent."""
    api, notes = Requests(list(bots)), list[str]()
    commands = Commands(
        cast(Api, api), Board(), cast(StreamClient, None), lambda line: None, notes.append, lambda entry: None
    )
    commands.open_entry = Entry(
        1,
        ConversationView(
            id=THREAD, channel_id=CHANNEL, contact_id=CONTACT, status="open", assignee_id=None, priority=0,
            last_number=1, inbound_count=1, last_message_at=NOW, last_message_preview="Hi",
            last_message_direction="in", window_expires_at=None, responder=None, responder_epoch=1, automated=False,
            version=1, created_at=NOW, updated_at=None,
        ),
    )  # fmt: skip
    assert await commands.run(line)
    return api.posted, notes


@pytest.mark.parametrize(
    ("span", "wait"),
    [
        ("45s", timedelta(seconds=45)),
        ("10m", timedelta(minutes=10)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("", None),
        ("m", None),
        ("10", None),
        ("-1m", None),
        ("1.5h", None),
        ("٣d", None),
        ("100000d", None),
    ],
)
def test_how_long_to_wait(span: str, wait: timedelta | None) -> None:
    assert waiting(span) == wait


async def test_a_message_for_later() -> None:
    ((path, body),), notes = await said("/later 10m How did it go?")

    assert path == f"/v1/conversations/{THREAD}/scheduled-messages"
    assert body["parts"] == [{"type": "text", "text": "How did it go?"}]
    assert body["hold_on_reply"] is True
    wait = datetime.fromisoformat(body["when"]["at"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < wait <= timedelta(minutes=10)
    assert notes == []


@pytest.mark.parametrize("line", ["/later", "/later 10m", "/later soon Hello"])
async def test_a_message_for_nobody_knows_when(line: str) -> None:
    posted, notes = await said(line)

    assert posted == []
    assert notes == ["/later 45s, 10m, 2h or 3d, and the text"]


async def test_blocking() -> None:
    assert (await said("/block Sends spam"))[0] == [(f"/v1/contacts/{CONTACT}/block", {"reason": "Sends spam"})]
    assert (await said("/block"))[0] == [(f"/v1/contacts/{CONTACT}/block", {})]
    assert (await said("/unblock now"))[0] == [(f"/v1/contacts/{CONTACT}/unblock", {})]


async def test_a_bot_that_serves_the_channel_gets_the_conversation() -> None:
    elsewhere, asleep = bot(id="elsewhere", channels=[str(UUID(int=11))]), bot(id="asleep", enabled=False)

    given, _ = await said("/bot", elsewhere, asleep, bot(channels=None))
    nobody, notes = await said("/bot", elsewhere, asleep)

    assert given == [(f"/v1/conversations/{THREAD}/workflows", {"bot_id": str(BOT)})]
    assert nobody == []
    assert notes == ["No bot serves this channel."]
