"""Four small stories that a running demo tells: a scheduled message, a sequence, a bot, a block.

Everything goes through the public API in the name of the demo's agent, and only what has not happened yet: so a demo
that is started again, or whose server was killed in between, goes on where it was and tells nothing twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import aiohttp

from channels.simulator.client import SimulatorClient, SimulatorError
from inbox.demo.api import Api, Json
from inbox.demo.customers import customer_named
from inbox.demo.equipment import BOT_CHANNEL, SEQUENCE
from inbox.demo.errors import Away, Refused
from inbox.demo.record import Kind, Record

T = TypeVar("T")
APART: Final = 4.0
"""Seconds between the beginnings of two stories, and between two lines of one."""
LOOK: Final = 0.3
PATIENCE: Final = 30.0
AGAIN: Final = 2.0
REMINDER_AFTER, FOLLOW_UP_AFTER, BLOCKED_FOR = timedelta(seconds=45), timedelta(minutes=10), timedelta(minutes=2)
SPAM: Final = "spam"
"""The tag of a contact who was blocked before."""


@dataclass(frozen=True, slots=True)
class Customer:
    kind: Kind
    name: str
    lines: Sequence[str]


WAITS = Customer("whatsapp", "Grace Miller", ("Hello, is my bicycle repaired?",))
JOINS = Customer("telegram", "Tom Fischer", ("Hi! I have just opened an account with you.",))
ASKS = Customer(
    BOT_CHANNEL,
    "Bea Novak",
    ("Good evening!", "What are your hours?", "Thank you. May I talk to a person about my order, please?"),
)
SPAMS = Customer(
    "instagram",
    "Prize Winners Ltd",
    ("You have WON a telephone!", "Only today: click on our link!", "Hello??? Your PRIZE!", "Last warning!!!"),
)
BEFORE_THE_BLOCK: Final = 2
"""Lines of the spammer; the others are set aside."""


class Untold(Exception):
    """The story cannot go on now; what has happened stays."""


class Stories:
    """``api`` calls as the demo's agent."""

    def __init__(self, api: Api, record: Record, say: Callable[[str], None], *, bot: bool) -> None:
        self._api = api
        self._record = record
        self._say = say
        self._stories = (self._scheduled, self._sequence, self._block) + ((self._bot,) if bot else ())

    async def run(self) -> None:
        """Ends when all is told. A story that cannot be told is no reason to stop the demo."""
        async with SimulatorClient(self._record.simulator_url) as self._simulator, asyncio.TaskGroup() as tasks:
            for story in self._stories:
                tasks.create_task(self._told(story))
                await asyncio.sleep(APART)

    async def _told(self, story: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await story()
            except (Away, aiohttp.ClientError, OSError):
                await asyncio.sleep(AGAIN)  # the server or the simulator is brought back
            except (Refused, SimulatorError, Untold) as error:
                name = story.__name__.strip("_")
                return self._say(f"The story of the {name} does not go on: {error}")

    # --- the stories --------------------------------------------------------------------------------------------------

    async def _scheduled(self) -> None:
        """An answer now, a message in a moment, and one tomorrow that waits for nothing but its time."""
        thread = await self._speak(WAITS, 1)
        await self._answer(thread, "Nearly! I will write to you as soon as it is done.")
        due = datetime.now(UTC) + REMINDER_AFTER
        await self._schedule(
            thread, "Your bicycle is ready, Grace. See you soon!", {"type": "at", "at": due.isoformat()}
        )
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
        when = {"type": "local", "local": f"{tomorrow}T10:00"}
        await self._schedule(thread, "How does it ride, Grace?", when, hold_on_reply=True)

    async def _sequence(self) -> None:
        thread = await self._speak(JOINS, 1)
        contact_id = thread["contact_id"]
        sequence = next(each for each in await self._api.all("/v1/sequences") if each["name"] == SEQUENCE)
        earlier = await self._api.all(f"/v1/contacts/{contact_id}/enrollments")
        if not any(each["sequence_id"] == sequence["id"] for each in earlier):
            who: Json = {"contact_ids": [contact_id], "conversation_id": thread["id"]}
            await self._api.post(f"/v1/sequences/{sequence['id']}/enrollments", who)

    async def _bot(self) -> None:
        """It answers twice and hands off; the agent goes on."""
        for count in range(1, len(ASKS.lines) + 1):
            thread = await self._speak(ASKS, count)
            await self._answered(thread, count)
        await _until(partial(self._handed_off, thread), "the bot did not hand off")
        await self._answer(thread, "Hello Bea, this is Maya, a person. How can I help?")

    async def _block(self) -> None:
        """They go on writing, which is set aside, and one day the block ends; what it held back stays so."""
        thread = await self._speak(SPAMS, BEFORE_THE_BLOCK)
        path = f"/v1/contacts/{thread['contact_id']}"
        contact = (await self._api.get(path))["contact"]
        if SPAM in contact["tags"]:
            return
        if contact["blocked"] is None:
            due = datetime.now(UTC) + FOLLOW_UP_AFTER
            await self._schedule(thread, "Thank you, we need no prizes.", {"type": "at", "at": due.isoformat()})
            until = datetime.now(UTC) + BLOCKED_FOR
            await self._api.post(f"{path}/block", {"reason": "Sends spam", "until": until.isoformat()})
        await self._api.patch(f"{path}/tags", {"add": [SPAM]})
        for line in SPAMS.lines[BEFORE_THE_BLOCK:]:
            await asyncio.sleep(APART)
            await self._say_as(SPAMS, line)

    # --- what they consist of -----------------------------------------------------------------------------------------

    async def _speak(self, customer: Customer, count: int) -> Json:
        """The conversation, once the customer has said that many of their lines."""
        thread = await self._thread(customer)
        for number in range(0 if thread is None else thread["inbound_count"], count):
            if number:
                await asyncio.sleep(APART)
            await self._say_as(customer, customer.lines[number])
            thread = await _until(partial(self._spoken, customer, number + 1), "a message did not come in")
        assert thread is not None
        return thread

    async def _say_as(self, customer: Customer, line: str) -> None:
        account = self._record.channel(customer.kind)
        await self._simulator.say(account.account_id, customer_named(customer.kind, customer.name), line)

    async def _spoken(self, customer: Customer, count: int) -> Json | None:
        thread = await self._thread(customer)
        return thread if thread is not None and thread["inbound_count"] >= count else None

    async def _thread(self, customer: Customer) -> Json | None:
        """Where we talk with them. Their name may come a moment after their first message."""
        found = await self._api.get("/v1/contacts", {"search": customer.name})
        for contact in found["items"]:
            page = await self._api.get("/v1/conversations", {"contact_id": contact["id"]})
            if contact["name"] == customer.name and page["items"]:
                thread: Json = page["items"][0]
                return thread
        return None

    async def _answered(self, thread: Json, count: int) -> None:
        async def answered() -> bool | None:
            page = await self._api.get(f"/v1/conversations/{thread['id']}/messages", {"limit": "50"})
            told = [message["direction"] for message in page["items"]]
            return (told.count("out") >= count) or None

        await _until(answered, "nobody answered")

    async def _handed_off(self, thread: Json) -> bool | None:
        runs = (await self._api.get(f"/v1/conversations/{thread['id']}/workflows"))["items"]
        return all(run["state"] not in ("active", "paused") for run in runs) or None

    async def _answer(self, thread: Json, text: str) -> None:
        """Once: the key makes a repetition harmless."""
        await asyncio.sleep(APART / 2)
        key = f"demo:{thread['id']}:{len(text)}"
        await self._api.post(f"/v1/conversations/{thread['id']}/messages", {"parts": _text(text)}, key=key)

    async def _schedule(self, thread: Json, text: str, when: Json, *, hold_on_reply: bool = False) -> None:
        path = f"/v1/conversations/{thread['id']}/scheduled-messages"
        known = [part.get("text") for each in await self._api.all(path) for part in each["content"]["parts"]]
        if text not in known:
            await self._api.post(path, {"parts": _text(text), "when": when, "hold_on_reply": hold_on_reply})


async def _until(look: Callable[[], Awaitable[T | None]], problem: str) -> T:
    """What it finds. Raises ``Untold``."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(LOOK)
    raise Untold(problem)


def _text(text: str) -> list[Json]:
    return [{"type": "text", "text": text}]
