"""A workspace with channels whose adapter plays a script, and dispatchers on pools of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
from builders import Node, make_app, make_channel, make_workspace, start_node

from channels.adapter import AccountFacts, Http, HttpStream, OutboundFile
from channels.capabilities import Capabilities, RateRule, Receipts, TextLimit, WindowRule
from channels.content import MediaRef
from channels.errors import SendError
from channels.inbound import Inbound
from channels.outbound import Accepted, Envelope, OutboundPart, Piece
from channels.types import Account, Address, Fault, Person
from contacts.resolution import Resolver
from inbox.agents.principal import Principal
from inbox.connections.directory import Channel
from inbox.connections.health import ChannelHealth
from inbox.conversations.repository import Thread
from inbox.conversations.repository import find as find_thread
from inbox.delivery.claims import Claim, Claims
from inbox.delivery.dispatcher import TOPIC, Dispatcher, Files
from inbox.delivery.pausing import pause_buckets
from inbox.delivery.recording import Recorder
from inbox.delivery.service import Deliveries
from inbox.delivery.sweeper import Sweeper
from inbox.kernel.ids import new_id
from inbox.kernel.wakeup import Wakeup
from inbox.messages.consequences import Consequences
from inbox.messages.joining import ThreadJoiner
from inbox.messages.receiving import Item

CAPABILITIES = Capabilities(
    text=TextLimit(4096),
    media={},
    choices={},
    receipts=Receipts(delivered="id", read="id", correlation=True, echoes=True),
    rates=(),
    window=WindowRule(hours=24, human_agent_hours=168, templates_outside=True),
)

KINDS = ("whatsapp", "messenger", "instagram", "telegram")

Outcome = Accepted | Fault | Exception | None
Play = Callable[[Account, Envelope], Awaitable[Outcome] | Outcome]


class ScriptedAdapter:
    """Answers each send with what the script says; ``None`` is an acceptance under the next external id."""

    def __init__(
        self, kind: str = "whatsapp", provider: str = "meta", capabilities: Capabilities = CAPABILITIES
    ) -> None:
        self.kind = kind
        self.provider = provider
        self.capabilities = capabilities
        self.script: list[Outcome] = []
        """Consumed in order; when it is empty, ``play`` decides, or everything is accepted."""
        self.play: Play | None = None
        self.sent: list[Envelope] = []
        self.in_air = 0
        self.most_in_air = 0
        self._numbers = count(1)

    def plan(self, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
        return tuple(Piece({"part": index}) for index, _ in enumerate(parts))

    async def send(self, http: Http, account: Account, envelope: Envelope, files: Sequence[OutboundFile]) -> Accepted:
        self.sent.append(envelope)
        self.in_air += 1
        self.most_in_air = max(self.most_in_air, self.in_air)
        try:
            outcome = await self._outcome(account, envelope)
        finally:
            self.in_air -= 1
        if isinstance(outcome, Fault):
            raise SendError(outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome or Accepted((f"{self.kind}.{account.account_id}.{next(self._numbers)}",))

    async def _outcome(self, account: Account, envelope: Envelope) -> Outcome:
        if self.script:
            return self.script.pop(0)
        if self.play is None:
            return None
        played = self.play(account, envelope)
        return await played if isinstance(played, Awaitable) else played

    @property
    def words(self) -> list[str]:
        return [envelope.piece.text or "" for envelope in self.sent]

    async def mark_read(self, http: Http, account: Account, peer: Sequence[Address], external_id: str) -> None:
        raise NotImplementedError

    async def typing(self, http: Http, account: Account, peer: Sequence[Address], external_id: str | None) -> None:
        raise NotImplementedError

    async def acknowledge(self, http: Http, account: Account, token: str) -> None:
        raise NotImplementedError

    def fetch(self, http: Http, account: Account, media: MediaRef) -> AbstractAsyncContextManager[HttpStream]:
        raise NotImplementedError

    async def profile(self, http: Http, account: Account, peer: Sequence[Address]) -> Person | None:
        raise NotImplementedError

    async def check(self, http: Http, account: Account) -> AccountFacts:
        raise NotImplementedError


@dataclass
class World:
    node: Node
    dsn: str
    workspace_id: UUID
    adapter: ScriptedAdapter
    channel: Channel
    caller: Principal
    wakeup: Wakeup = field(default_factory=Wakeup)
    """Within the process only: dispatchers of the world hear of what it queues."""
    _customers: count[int] = field(default_factory=lambda: count(1))

    async def add_channel(self, kind: str, account_id: str, *, options: dict[str, str] | None = None) -> Channel:
        provider = "telegram" if kind == "telegram" else "meta"
        app_id = await make_app(self.node, self.workspace_id, provider)
        return await make_channel(self.node, self.workspace_id, app_id, kind, account_id, options=options)

    async def conversation(
        self, channel: Channel | None = None, *, window_opened: timedelta | None = timedelta(minutes=1)
    ) -> Thread:
        """With a contact of its own, who wrote ``window_opened`` ago."""
        channel = channel or self.channel
        number = next(self._customers)
        contact_id, identity_id, conversation_id = new_id(), new_id(), new_id()
        address = customer_address(channel, number)
        async with self.node.database.transaction() as unit:
            await unit.execute(
                "INSERT INTO contacts (workspace_id, id, name) VALUES ($1, $2, $3)",
                self.workspace_id,
                contact_id,
                f"Customer {number}",
            )
            await unit.execute(
                "INSERT INTO identities (workspace_id, id, contact_id, provider) VALUES ($1, $2, $3, $4)",
                self.workspace_id,
                identity_id,
                contact_id,
                channel.kind,
            )
            await unit.execute(
                "INSERT INTO addresses (workspace_id, kind, scope, value, identity_id) VALUES ($1, $2, $3, $4, $5)",
                self.workspace_id,
                address.kind,
                address.scope,
                address.value,
                identity_id,
            )
            await unit.execute(
                """INSERT INTO conversations (workspace_id, id, channel_id, identity_id, contact_id, window_opened_at)
                   VALUES ($1, $2, $3, $4, $5, now() - $6::interval)""",
                self.workspace_id,
                conversation_id,
                channel.id,
                identity_id,
                contact_id,
                window_opened,
            )
            thread = await find_thread(unit, self.workspace_id, conversation_id)
        assert thread is not None
        return thread

    async def queue(
        self,
        thread: Thread,
        *texts: str,
        purpose: str = "reply",
        priority: int = 0,
        epoch: int | None = None,
        part_type: str = "text",
        lane: str = "message",
        expires_at: datetime | None = None,
        created_at: datetime | None = None,
    ) -> UUID:
        """One outgoing message with a piece for each text. Returns its id."""
        message_id = new_id()
        texts = texts or ("Hello",)
        now = created_at or datetime.now(UTC)
        async with self.node.database.transaction() as unit:
            number = await unit.fetchval(
                """UPDATE conversations SET last_number = last_number + 1 WHERE workspace_id = $1 AND id = $2
                   RETURNING last_number""",
                self.workspace_id,
                thread.id,
            )
            await unit.execute(
                """INSERT INTO messages (workspace_id, id, conversation_id, channel_id, number, direction, author_kind,
                       parts, status, occurred_at) VALUES ($1, $2, $3, $4, $5, 'out', 'agent', $6, 'queued', $7)""",
                self.workspace_id,
                message_id,
                thread.id,
                thread.channel_id,
                number,
                [{"type": part_type, "text": text} for text in texts],
                now,
            )
            for ordinal, text in enumerate(texts):
                piece = orjson.dumps(Piece({"text": text}, text=text, lane=cast(Any, lane)))
                await unit.execute(
                    """INSERT INTO deliveries (workspace_id, id, message_id, conversation_id, channel_id, ordinal,
                           piece, purpose, priority, epoch, due_at, expires_at, created_at)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $11)""",
                    self.workspace_id,
                    new_id(),
                    message_id,
                    thread.id,
                    thread.channel_id,
                    ordinal,
                    piece,
                    purpose,
                    priority,
                    epoch,
                    now,
                    expires_at,
                )
        self.wakeup.publish(TOPIC)
        return message_id

    def recorder(self, node: Node | None = None) -> Recorder:
        node = node or self.node
        resolver = Resolver(ThreadJoiner(node.conversations).join)
        health = ChannelHealth(node.directory, lambda: None)
        return Recorder(node.database, resolver, Consequences(node.conversations, health, pause_buckets))

    async def claim(self, node: Node | None = None) -> list[Claim]:
        """What one round takes into the air, and nobody sends."""
        node = node or self.node
        return (await Claims(node.database, node.directory, node="test").claim(64, {})).claims

    async def receive(self, *inbound: Inbound, channel: Channel | None = None, node: Node | None = None) -> None:
        node = node or self.node
        items = [Item(channel or self.channel, one, datetime.now(UTC)) for one in inbound]
        await node.database.retrying(lambda unit: node.receiver.receive(unit, self.workspace_id, items), attempts=10)

    def dispatcher(
        self,
        node: Node | None = None,
        *,
        most: int = 64,
        timeout: float = 5.0,
        recorder: Recorder | None = None,
        files: Files | None = None,
    ) -> Dispatcher:
        node = node or self.node
        return Dispatcher(
            node.database,
            node.directory,
            recorder or self.recorder(node),
            cast(Http, None),
            self.wakeup,
            node=f"node-{id(node)}",
            send_timeout=timeout,
            files=files,
            most_in_the_air=most,
        )

    @asynccontextmanager
    async def running(self, *dispatchers: Dispatcher) -> AsyncIterator[None]:
        """Dispatchers that are stopped properly at the end; one of the world's own when none are given."""
        dispatchers = dispatchers or (self.dispatcher(),)
        tasks = [asyncio.create_task(dispatcher.run()) for dispatcher in dispatchers]
        try:
            yield
        finally:
            for dispatcher in dispatchers:
                dispatcher.stop()
            await asyncio.wait_for(asyncio.gather(*tasks), 20)

    async def run_until_idle(self, *dispatchers: Dispatcher, within: float = 20) -> None:
        """Until nothing is queued that is due soon, and nothing is in the air."""
        async with self.running(*dispatchers):
            await self.wait_for(
                """SELECT NOT EXISTS (SELECT FROM deliveries d WHERE d.state = 'sending'
                       OR d.state = 'queued' AND (d.due_at < now() + interval '1 second' OR d.due_at = 'infinity'
                            AND NOT EXISTS (SELECT FROM deliveries o WHERE o.conversation_id = d.conversation_id
                                AND o.state = 'queued' AND o.id < d.id AND o.due_at < 'infinity')))""",
                within=within,
            )

    async def wait_for(self, query: str, *args: object, within: float = 10) -> None:
        async with asyncio.timeout(within):
            while not await self.node.fetchval(query, *args):
                await asyncio.sleep(0.01)

    def sweeper(self, *, uncertain_after: float = 60, send_timeout: float = 20) -> Sweeper:
        return Sweeper(self.node.database, self.wake, uncertain_after=uncertain_after, send_timeout=send_timeout)

    @property
    def service(self) -> Deliveries:
        return Deliveries(self.node.database, self.node.conversations, self.wake)

    def wake(self) -> None:
        self.wakeup.publish(TOPIC)

    async def status(self, message_id: UUID) -> str:
        return cast(str, await self.node.fetchval("SELECT status FROM messages WHERE id = $1", message_id))

    async def fault(self, message_id: UUID) -> dict[str, Any]:
        return cast("dict[str, Any]", await self.node.fetchval("SELECT fault FROM messages WHERE id = $1", message_id))

    async def states(self, message_id: UUID) -> list[str]:
        rows = await self.node.fetch("SELECT state FROM deliveries WHERE message_id = $1 ORDER BY ordinal", message_id)
        return [row[0] for row in rows]

    async def delivery(self, message_id: UUID, ordinal: int = 0) -> Any:
        rows = await self.node.fetch(
            "SELECT * FROM deliveries WHERE message_id = $1 AND ordinal = $2", message_id, ordinal
        )
        return rows[0]

    async def history(self, message_id: UUID) -> list[str]:
        """The statuses that the log told of, in order."""
        rows = await self.node.fetch("SELECT payload FROM events WHERE kind = 'message.status' ORDER BY position")
        told = [orjson.loads(row[0]) for row in rows]
        return [entry["status"] for entry in told if entry["message_id"] == str(message_id)]


def customer_address(channel: Channel, number: int) -> Address:
    account_id = channel.account.account_id
    match channel.kind:
        case "whatsapp":
            return Address("whatsapp_phone", "", f"1555123{number:04}")
        case "messenger":
            return Address("messenger_user", account_id, f"psid-{number}")
        case "instagram":
            return Address("instagram_user", account_id, f"igsid-{number}")
        case _:
            return Address("telegram_chat", "", f"-{number}")


@asynccontextmanager
async def make_world(
    dsn: str,
    *,
    kind: str = "whatsapp",
    rates: tuple[RateRule, ...] = (),
    plays: type[ScriptedAdapter] = ScriptedAdapter,
    **capabilities: Any,
) -> AsyncIterator[World]:
    """``capabilities`` replace those of the scripted adapter, which plays every kind of channel."""
    adapter = plays(kind, capabilities=replace(CAPABILITIES, rates=rates, **capabilities))
    adapters: Any = dict.fromkeys(KINDS, adapter)
    node = await start_node(dsn, adapters=adapters)
    try:
        workspace_id = await make_workspace(node)
        provider = "telegram" if kind == "telegram" else "meta"
        app_id = await make_app(node, workspace_id, provider)
        channel = await make_channel(node, workspace_id, app_id, kind, "111")
        caller = Principal(workspace_id, uuid4(), "Ada", "agent", uuid4())
        yield World(node, dsn, workspace_id, adapter, channel, caller)
    finally:
        await node.database.stop()


async def other_node(world: World) -> Node:
    """Another process, as far as the database can tell: its own pool, directory and log. The caller stops it."""
    return await start_node(world.dsn, adapters=cast(Any, dict.fromkeys(KINDS, world.adapter)))
