"""A world of scripted channels in which contacts are blocked. Helpers, no tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import orjson
from delivery_world import ScriptedAdapter, World, customer_address, make_world

from channels.adapter import Http
from channels.content import TextPart
from channels.errors import SendError
from channels.inbound import Inbound, MessageReceived, ReachabilityChanged
from channels.types import Account, Address, Fault, Person
from inbox.blocking.at_provider import AtProvider
from inbox.blocking.paused import Paused
from inbox.blocking.schemas import BlockIn, BlockOut
from inbox.blocking.service import TIMER, Blocks
from inbox.blocking.silence import Silence
from inbox.conversations.repository import Thread
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.jobs import Jobs
from inbox.kernel.reactions import Reactions
from inbox.kernel.timers_firing import TimerFiring
from inbox.kernel.wakeup import Wakeup
from inbox.messages.receiving import Item
from inbox.messages.schemas import SendIn
from inbox.messages.sending import Sending, Sent


class ModeratingAdapter(ScriptedAdapter):
    """Keeps people from writing, or refuses to, as ``refusals`` say."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.asked: list[tuple[str, tuple[Address, ...]]] = []
        self.refusals: list[Fault] = []
        self.signals: list[str] = []

    async def typing(self, http: Http, account: Account, peer: Sequence[Address], external_id: str | None) -> None:
        self.signals.append("typing")

    async def mark_read(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        self.signals.append("read")

    async def block(self, http: Http, account: Account, peer: Sequence[Address]) -> None:
        self._answer("block", peer)

    async def unblock(self, http: Http, account: Account, peer: Sequence[Address]) -> None:
        self._answer("unblock", peer)

    def _answer(self, what: str, peer: Sequence[Address]) -> None:
        self.asked.append((what, tuple(peer)))
        if self.refusals:
            raise SendError(self.refusals.pop(0))


class NoFiles:
    async def outgoing(self, *_: object, **__: object) -> dict[str, Any]:
        return {}

    async def attach(self, *_: object) -> None:
        return None


@dataclass
class Blocked:
    """``database`` has reactions, as that of the product has; ``firing`` is its clock."""

    world: World
    database: Database
    reactions: Reactions
    blocks: Blocks
    paused: Paused
    at_provider: AtProvider
    firing: TimerFiring

    @property
    def adapter(self) -> ModeratingAdapter:
        return cast(ModeratingAdapter, self.world.adapter)

    async def block(self, contact_id: UUID, **fields: Any) -> BlockOut:
        return await self.blocks.block(self.world.caller, contact_id, BlockIn(**fields))

    async def unblock(self, contact_id: UUID) -> None:
        await self.blocks.unblock(self.world.caller, contact_id)

    async def send(self, thread: Thread, text: str = "Hello") -> Sent:
        node = self.world.node
        sending = Sending(
            self.database,
            node.directory,
            node.conversations,
            cast(Any, NoFiles()),
            node.templates,
            self.world.wake,
        )
        order = SendIn.model_validate({"parts": [{"type": "text", "text": text}]})
        return await sending.send(self.world.caller, thread.id, order)

    async def hear(self, *texts: str, customer: int = 1, **more: Any) -> None:
        """The customer writes; each text is an external id, too."""
        await self.world.receive(*(said(self.world, text, customer=customer, **more) for text in texts))

    async def receive(self, *inbound: Inbound) -> None:
        """As ``World.receive``, on the database that has the reactions."""
        world = self.world
        items = [Item(world.channel, one, datetime.now(UTC)) for one in inbound]
        await self.database.retrying(
            lambda unit: world.node.receiver.receive(unit, world.workspace_id, items), attempts=10
        )

    async def shown(self) -> list[str]:
        """The words of what came in, in all threads."""
        rows = await self.world.node.fetch("SELECT parts FROM messages WHERE direction = 'in' ORDER BY id")
        return [row[0][0]["text"] for row in rows]

    async def aside(self) -> list[str]:
        rows = await self.world.node.fetch("SELECT parts FROM set_aside_messages WHERE kind = 'message' ORDER BY id")
        return [row[0][0]["text"] if row[0] else "" for row in rows]

    async def events(self, *kinds: str) -> list[dict[str, Any]]:
        rows = await self.world.node.fetch(
            "SELECT kind, audience, payload FROM events WHERE kind = ANY($1) ORDER BY position", list(kinds)
        )
        return [{"kind": row[0], "audience": row[1], **orjson.loads(row[2])} for row in rows]

    async def is_blocked(self, contact_id: UUID) -> bool:
        found = await self.world.node.fetchval("SELECT blocked_at IS NOT NULL FROM contacts WHERE id = $1", contact_id)
        return bool(found)

    async def audited(self) -> list[str]:
        rows = await self.world.node.fetch("SELECT actor_kind, action FROM audit_entries ORDER BY id")
        return [f"{row[0]} {row[1]}" for row in rows]


def said(world: World, text: str, *, customer: int = 1, external_id: str | None = None, **more: Any) -> MessageReceived:
    return MessageReceived(
        account_id="111",
        external_id=external_id or text,
        peer=more.pop("peer", None)
        or Person((customer_address(world.channel, customer),), name=f"Customer {customer}"),
        parts=(TextPart(text),),
        occurred_at=more.pop("occurred_at", None) or datetime.now(UTC),
        **more,
    )


async def join(house: Blocked, *customers: int) -> None:
    """The provider reveals that these are one person."""
    both = Person(tuple(customer_address(house.world.channel, number) for number in customers))
    await house.receive(ReachabilityChanged("111", both, True, "", datetime.now(UTC)))


def soon(seconds: float = 3600) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@asynccontextmanager
async def make_blocked(dsn: str, *, patience: float = 3.0, **more: Any) -> AsyncIterator[Blocked]:
    async with make_world(
        dsn, plays=ModeratingAdapter, blocks_people=True, mark_read=True, typing_seconds=5, **more
    ) as world:
        reactions = Reactions()
        database = Database(dsn, connections=8, event_log=EventLog(), reactions=reactions)
        await database.start()
        await world.node.fetchval(
            """INSERT INTO agents (workspace_id, id, name, role) VALUES ($1, $2, 'Ada', 'agent') RETURNING id""",
            world.workspace_id,
            world.caller.agent_id,
        )
        node = world.node
        at_provider = AtProvider(database, node.directory, Jobs(Wakeup()), cast(Http, None))
        blocks = Blocks(database, Silence(node.conversations), at_provider, patience=patience)
        reactions.on("contact.merged", blocks.follow_merge)
        firing = TimerFiring(database)
        firing.register(TIMER, blocks.expire)
        try:
            yield Blocked(world, database, reactions, blocks, Paused(database), at_provider, firing)
        finally:
            await database.stop()
