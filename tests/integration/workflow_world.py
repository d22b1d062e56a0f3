"""A workspace with bots: real receivers for their webhooks, and timers in the test's own hand. Helpers, no tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
from builders import Node
from delivery_world import World, customer_address, make_world, other_node
from subscription_world import LOOPBACK, Receiver, Receivers, receivers

from channels.content import TextPart
from channels.inbound import Echo, MessageReceived, ReachabilityChanged
from channels.types import Person
from inbox.agents.principal import Principal
from inbox.blocking.service import Blocks
from inbox.blocking.silence import Silence
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.kernel.clock import Clock, SystemClock
from inbox.kernel.http import HttpClient, HttpSettings
from inbox.kernel.ids import new_id
from inbox.kernel.jobs import Job, Jobs
from inbox.kernel.jobs_worker import Worker as JobWorker
from inbox.kernel.reactions import Reactions
from inbox.kernel.timers_firing import TimerFiring
from inbox.messages.schemas import SendIn
from inbox.messages.sending import Sending, Sent
from inbox.subscriptions.posting import Answered, Poster
from inbox.subscriptions.registry import Registry
from inbox.subscriptions.retries import Retries
from inbox.subscriptions.vault import Vault
from inbox.subscriptions.worker import TOPIC, Worker
from scheduler.ties import Ties
from scheduler.workflows import repository as rows
from scheduler.workflows.bots import Bots
from scheduler.workflows.build import Running, build_workflows
from scheduler.workflows.firing import Firing
from scheduler.workflows.following import RELEASE
from scheduler.workflows.leases import lease_of
from scheduler.workflows.moves import ANSWER_TIMER, Moves
from scheduler.workflows.repository import Run
from scheduler.workflows.responders import FirstResponders
from scheduler.workflows.schemas import BotIn, BotView, RunView, StartIn

Json = dict[str, Any]


class NoFiles:
    async def outgoing(self, *_: object, **__: object) -> dict[UUID, Any]:
        return {}

    async def attach(self, *_: object) -> None:
        return None


class NoProvider:
    """Nobody there is asked to block anybody."""

    async def block(self, *_: object) -> list[Any]:
        return []

    async def unblock(self, *_: object) -> list[Any]:
        return []


@dataclass
class Process:
    """One process with its own pool: the room, its clock, and what delivers events to bots."""

    node: Node
    room: Running
    bots: Bots
    sending: Sending
    blocks: Blocks
    firing: TimerFiring
    ends: Firing
    worker: Worker
    _task: asyncio.Task[None] | None = None

    def deliver(self) -> None:
        self._task = asyncio.create_task(self.worker.run())

    async def rest(self) -> None:
        if self._task is not None:
            self.worker.stop()
            await asyncio.wait_for(self._task, 25)
            self._task = None


@dataclass
class Bot:
    """A registered bot, as its own program and as the API knows it."""

    view: BotView
    secret: str
    caller: Principal
    hook: Receiver

    @property
    def id(self) -> UUID:
        return self.view.id

    def events(self, *kinds: str) -> list[Json]:
        """What it was sent and took, repeats dropped by id."""
        found = {one.id: one.event for one in self.hook.accepted}
        return [event for event in found.values() if not kinds or event["kind"] in kinds]


@dataclass
class Stage:
    world: World
    hooks: Receivers
    process: Process

    @property
    def caller(self) -> Principal:
        return self.world.caller

    @property
    def room(self) -> Running:
        return self.process.room

    @property
    def admin(self) -> Principal:
        return replace(self.caller, role="admin")

    async def bot(self, mode: str = "first_responder", *, name: str = "Helper", **given: Any) -> Bot:
        hook = self.hooks.add()
        fields = BotIn.model_validate({"name": name, "url": hook.url, "mode": mode, **given})
        made = await self.process.bots.create(self.admin, fields)
        caller = Principal(self.world.workspace_id, made.bot.id, name, "bot", new_id())
        return Bot(made.bot, made.secret, caller, hook)

    async def held(self, bot: Bot) -> tuple[Thread, RunView]:
        """A conversation in which the customer wrote ``window_opened`` ago, given to this bot."""
        thread = await self.world.conversation()
        run = await self.room.service.start(self.caller, thread.id, StartIn(bot_id=bot.id))
        return await self.thread(thread.id), run

    async def send(
        self,
        caller: Principal,
        conversation_id: UUID,
        text: str = "Hello",
        *,
        process: Process | None = None,
        **more: Any,
    ) -> Sent:
        return await (process or self.process).sending.send(caller, conversation_id, order(text, **more))

    async def write(self, *texts: str, customer: int = 1, node: Node | None = None) -> UUID:
        """What a customer writes. The id of the conversation."""
        address = customer_address(self.world.channel, customer)
        await self.world.receive(
            *(
                MessageReceived("111", f"in-{new_id()}", Person((address,)), (TextPart(text),), datetime.now(UTC))
                for text in texts
            ),
            node=node,
        )
        found: UUID = await self.world.node.fetchval(
            """SELECT v.id FROM conversations v JOIN addresses a ON a.identity_id = v.identity_id
               WHERE a.value = $1""",
            address.value,
        )
        return found

    async def echo(self, customer: int = 1) -> None:
        """A person answers in the provider's own app."""
        address = customer_address(self.world.channel, customer)
        await self.world.receive(
            MessageReceived(
                "111",
                f"echo-{new_id()}",
                Person((address,)),
                (TextPart("From my phone"),),
                datetime.now(UTC),
                echo=Echo(),
            )
        )

    async def join(self, *customers: int) -> None:
        """The provider reveals that these are one person."""
        both = Person(tuple(customer_address(self.world.channel, number) for number in customers))
        await self.world.receive(ReachabilityChanged("111", both, True, "", datetime.now(UTC)))

    async def thread(self, conversation_id: UUID) -> Thread:
        async with self.world.node.database.transaction(readonly=True) as unit:
            found = await thread_rows.find(unit, self.world.workspace_id, conversation_id)
        assert found is not None
        return found

    async def runs(self, conversation_id: UUID) -> list[Run]:
        """Oldest first."""
        async with self.world.node.database.transaction(readonly=True) as unit:
            found = await rows.page(unit, self.world.workspace_id, conversation_id, before=None, limit=50)
        return found[::-1]

    async def run(self, conversation_id: UUID) -> Run:
        """The newest one."""
        return (await self.runs(conversation_id))[-1]

    async def execute(self, query: str, *values: object) -> None:
        async with self.world.node.database.session() as connection:
            await connection.execute(query, *values)

    async def time_out(self, process: Process | None = None, *, told: bool = True) -> int:
        """The time of everybody who is waited for is over. ``told``: and nothing is on its way to bots."""
        if told:
            await self.all_told()
        await self.execute(
            "UPDATE timers SET due_at = now(), next_at = now() WHERE kind = $1 AND state = 'pending'", ANSWER_TIMER
        )
        return await (process or self.process).firing.fire_due()

    async def all_told(self) -> None:
        """As if everything had arrived at every subscription."""
        await self.execute(
            "UPDATE subscriptions s SET cursor = l.head FROM event_logs l WHERE l.workspace_id = s.workspace_id"
        )

    async def release(self) -> int:
        """Work off the jobs that free what disabled bots hold. How many there were."""
        found = await self.world.node.fetch("DELETE FROM jobs WHERE queue = $1 RETURNING payload", RELEASE)
        for row in found:
            job = Job(self.world.workspace_id, new_id(), RELEASE, None, row[0], 1, 5, 1, "lease", datetime.now(UTC))
            await self.process.ends.release(job)
        return len(found)

    async def words(self, conversation_id: UUID, author: str = "bot") -> list[str]:
        found = await self.world.node.fetch(
            "SELECT parts FROM messages WHERE conversation_id = $1 AND author_kind = $2 ORDER BY number",
            conversation_id,
            author,
        )
        return [row[0][0]["text"] for row in found]

    async def told(self, *kinds: str) -> list[Json]:
        found = await self.world.node.fetch(
            "SELECT kind, payload, holder_id FROM events WHERE kind = ANY($1) ORDER BY position", list(kinds)
        )
        return [{"kind": row[0], "holder_id": row[2], **orjson.loads(row[1])} for row in found]

    async def log_entries(self, *columns: str) -> list[tuple[Any, ...]]:
        """The delivery log, in order."""
        found = await self.world.node.fetch(f"SELECT {', '.join(columns)} FROM subscription_attempts ORDER BY id")
        return [tuple(row) for row in found]


def order(text: str = "Hello", **given: Any) -> SendIn:
    return SendIn.model_validate({"parts": [{"type": "text", "text": text}], **given})


def saying(*texts: str, **more: Any) -> Json:
    """What a bot answers to its webhook."""
    return {"messages": [{"parts": [{"type": "text", "text": text}]} for text in texts], **more}


async def make_process(
    world: World, node: Node, stack: AsyncExitStack, *, clock: Clock | None = None, lease_seconds: float = 30.0
) -> Process:
    clock = clock or SystemClock()
    reactions = Reactions()
    node.database._reactions = reactions
    ties = Ties(node.conversations)
    moves = Moves(node.conversations, ties)
    sending = Sending(
        node.database,
        node.directory,
        node.conversations,
        cast(Any, NoFiles()),
        node.templates,
        world.wake,
        lease_of,
    )
    node.receiver._responders = FirstResponders(moves)

    class Parts:
        database = node.database
        directory = node.directory
        conversations = node.conversations
        jobs = Jobs(world.wakeup)

    parts: Any = Parts()
    parts.sending, parts.reactions = sending, reactions
    room = build_workflows(parts, moves)
    firing = TimerFiring(node.database)
    room.register(firing, JobWorker(node.database, world.wakeup))
    vault = Vault(node.box)
    http = await stack.enter_async_context(
        HttpClient(HttpSettings(allow_private=LOOPBACK, connections=0, connections_per_host=0, keep_alive=30), Answered)
    )
    worker = Worker(
        node.database,
        node.event_log,
        world.wakeup,
        vault,
        Poster(http, clock, timeout=5.0),
        clock,
        events_topic="events",
        owners_topic="tokens",
        retries=Retries(uniform=lambda least, most: 0.02),
        lease_seconds=lease_seconds,
        poll_seconds=0.1,
        answers=room.answers,
    )
    registry = Registry(vault, clock, partial(world.wakeup.publish, TOPIC), allow_private=LOOPBACK)
    bots = Bots(node.database, registry, lambda workspace_id: None)
    blocks = Blocks(node.database, Silence(node.conversations), cast(Any, NoProvider()), patience=0.2)
    made = Process(node, room, bots, sending, blocks, firing, Firing(node.database, moves), worker)
    stack.push_async_callback(made.rest)
    return made


@asynccontextmanager
async def make_stage(dsn: str, **more: Any) -> AsyncIterator[Stage]:
    async with make_world(dsn, **more) as world, receivers() as hooks, AsyncExitStack() as stack:
        await world.node.fetchval(
            "INSERT INTO agents (workspace_id, id, name, role) VALUES ($1, $2, 'Ada', 'agent') RETURNING id",
            world.workspace_id,
            world.caller.agent_id,
        )
        yield Stage(world, hooks, await make_process(world, world.node, stack))


@asynccontextmanager
async def another(stage: Stage, **more: Any) -> AsyncIterator[Process]:
    """Another process over the same database."""
    node = await other_node(stage.world)
    try:
        async with AsyncExitStack() as stack:
            yield await make_process(stage.world, node, stack, **more)
    finally:
        await node.database.stop()


def stranger(stage: Stage) -> Principal:
    return Principal(stage.world.workspace_id, uuid4(), "Nobody", "bot", uuid4())
