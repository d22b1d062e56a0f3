"""The providers' side of webhooks: bodies of four kinds, signed, posted until acknowledged. Helpers, no tests."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiohttp
import orjson
from builders import whatsapp_body, whatsapp_text
from processes import ACCOUNTS, APP_SECRET, BOT_SECRET, Installation

KINDS = tuple(ACCOUNTS)
GIVE_UP_SECONDS = 60.0
AT = 1_790_000_000


@dataclass(frozen=True, slots=True)
class Post:
    kind: str
    body: bytes
    texts: tuple[str, ...]
    """What the body tells; every one is unique in the world, unless the body repeats itself."""


def headers_for(kind: str, body: bytes) -> dict[str, str]:
    if kind == "telegram":
        return {"X-Telegram-Bot-Api-Secret-Token": BOT_SECRET}
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()}


def text_body(kind: str, customer: int, number: int, text: str, *, repeated: bool = False) -> bytes:
    """A customer's text as the provider posts it. ``repeated``: twice in the same body, where bodies hold several."""
    account = ACCOUNTS[kind]
    times = 2 if repeated else 1
    if kind == "whatsapp":
        return whatsapp_body(account, *[whatsapp_text(f"1555200{customer:04}", f"wamid.{number}", text, AT)] * times)
    if kind == "telegram":
        person = {"id": 7000 + customer, "first_name": f"Customer {customer}"}
        message = {"message_id": number, "date": AT, "chat": {**person, "type": "private"}, "from": person}
        return orjson.dumps({"update_id": number, "message": {**message, "text": text}})
    item = {
        "sender": {"id": f"9{customer:05}"},
        "recipient": {"id": account},
        "timestamp": AT * 1000,
        "message": {"mid": f"m_{number}", "text": text},
    }
    entry: dict[str, Any] = {"id": account, "time": AT * 1000, "messaging": [item] * times}
    return orjson.dumps({"object": "page" if kind == "messenger" else "instagram", "entry": [entry]})


@dataclass
class Providers:
    """Several connections that post what customers write, in no particular order, and again what was not taken.

    A part of the bodies is posted once more after its 200. The others are never sent again, so that nothing but the
    server's own memory can bring back what it acknowledged.
    """

    installation: Installation
    chance: random.Random
    customers: int = 12
    most: int = 4000
    pause: float = 0.02
    acknowledged: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    people: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._again: deque[Post] = deque()
        self._repeated: set[tuple[str, ...]] = set()
        self._open = 0

    def next_post(self) -> Post:
        kind = self.chance.choice(KINDS)
        number, customer = next(self._numbers), self.chance.randrange(self.customers)
        self.people.add((kind, customer))
        text = f"{kind} {number}"
        return Post(kind, text_body(kind, customer, number, text, repeated=self.chance.random() < 0.1), (text,))

    async def run(self, stop: asyncio.Event, *, connections: int = 8) -> None:
        """Until told to stop; then until everything was acknowledged."""
        workers = [asyncio.create_task(self._connection(stop)) for _ in range(connections)]
        await asyncio.gather(*workers)

    async def post(self, session: aiohttp.ClientSession, post: Post, *, node: int | None = None) -> int | None:
        """One attempt. The status, or ``None`` when the connection broke."""
        nodes = self.installation.nodes
        server = self.chance.choice(nodes) if node is None else nodes[node]
        url = server.url + self.installation.paths[post.kind]
        try:
            async with session.post(url, data=post.body, headers=headers_for(post.kind, post.body)) as answer:
                await answer.read()
                status: int = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.answers[type(error).__name__] += 1
            return None
        self.answers[str(status)] += 1
        if status == 200:
            self.acknowledged.update(post.texts)
        else:
            assert status == 503, f"{post.kind} was answered {status}"
            assert answer.headers["Retry-After"].isdecimal()
        return status

    async def _connection(self, stop: asyncio.Event) -> None:
        give_up = None
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            while True:
                if stop.is_set():
                    give_up = give_up or asyncio.get_running_loop().time() + GIVE_UP_SECONDS
                    assert asyncio.get_running_loop().time() < give_up, f"never taken: {len(self._again)}"
                post = self._choose(stop)
                if post is not None:
                    await self._deliver(session, post)
                elif stop.is_set() and not self._again and self._open == 0:
                    return
                await asyncio.sleep(self.chance.random() * self.pause)

    def _choose(self, stop: asyncio.Event) -> Post | None:
        if self._again and (stop.is_set() or self.chance.random() < 0.3):
            self._again.rotate(self.chance.randrange(len(self._again)))
            return self._again.popleft()
        if stop.is_set() or len(self.acknowledged) >= self.most:
            return None
        return self.next_post()

    async def _deliver(self, session: aiohttp.ClientSession, post: Post) -> None:
        self._open += 1
        try:
            status = await self.post(session, post)
            if status != 200:
                self._again.append(post)
                await asyncio.sleep(0.05)
            elif post.texts not in self._repeated and self.chance.random() < 0.2:
                self._repeated.add(post.texts)
                self._again.append(post)
        finally:
            self._open -= 1


async def audit(installation: Installation, providers: Providers, *, within: float = 30) -> None:
    """Everything that was acknowledged is there exactly once, numbered densely, with nobody met twice."""
    await installation.until("SELECT count(*) = 0 FROM pending_deliveries", within=within)
    found = Counter(
        row[0] for row in await installation.fetch("SELECT parts -> 0 ->> 'text' FROM messages WHERE direction = 'in'")
    )
    assert not providers.acknowledged - set(found), "acknowledged and lost"
    assert [text for text, times in found.items() if times > 1] == [], "stored twice"
    assert set(found) == providers.acknowledged
    assert await installation.fetch("SELECT reason, detail FROM quarantine WHERE released_at IS NULL") == []
    await audit_shape(installation, people=len(providers.people))
    told = await installation.fetchval("SELECT count(*) FROM events WHERE kind = 'message.created'")
    assert told == await installation.fetchval("SELECT count(*) FROM messages")


async def audit_shape(installation: Installation, *, people: int) -> None:
    """Numbers and positions are dense; one contact, identity and conversation for each customer of a channel."""
    gaps = await installation.fetch(
        """SELECT v.id FROM conversations v LEFT JOIN messages m ON m.conversation_id = v.id
           GROUP BY v.id, v.last_number
           HAVING count(m.id) <> v.last_number OR min(m.number) <> 1 OR max(m.number) <> v.last_number
               OR count(DISTINCT m.number) <> count(m.id)"""
    )
    assert gaps == [], "the numbers of a conversation have gaps or repeats"
    logs = await installation.fetch(
        """SELECT l.head, count(e.position), count(DISTINCT e.position), min(e.position), max(e.position)
           FROM event_logs l JOIN events e USING (workspace_id) GROUP BY l.workspace_id, l.head"""
    )
    for head, *figures in logs:
        assert figures == [head, head, 1, head], "the log has gaps or repeats"
    counts = await installation.fetch(
        """SELECT (SELECT count(*) FROM contacts WHERE merged_into IS NULL), (SELECT count(*) FROM identities),
                  (SELECT count(*) FROM conversations), (SELECT count(DISTINCT (channel_id, identity_id))
                   FROM conversations)"""
    )
    assert tuple(counts[0]) == (people,) * 4
