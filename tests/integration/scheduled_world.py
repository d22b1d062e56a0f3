"""A workspace in which messages are scheduled, with the clock in the test's own hand. Helpers, no tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
from builders import Node
from delivery_world import World, customer_address, make_world, other_node

from channels.content import TextPart
from channels.inbound import MessageReceived
from channels.types import Person
from inbox.agents.principal import Principal
from inbox.blocking.service import Blocks
from inbox.blocking.silence import Silence
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.delivery.service import Deliveries
from inbox.kernel.database import UnitOfWork
from inbox.kernel.ids import new_id
from inbox.kernel.reactions import Reactions
from inbox.kernel.timers_firing import TimerFiring
from inbox.media.schemas import MediaView
from inbox.messages.sending import Sending
from scheduler.scheduled import repository as rows
from scheduler.scheduled.build import ScheduledMessages, build_scheduled
from scheduler.scheduled.repository import Scheduled
from scheduler.scheduled.schemas import ScheduledView, ScheduleIn
from scheduler.ties import Ties

Json = dict[str, Any]


@dataclass
class KeptFiles:
    """Files without content, and a note of how long they were to be kept."""

    known: dict[UUID, MediaView] = field(default_factory=dict)
    kept: list[tuple[set[UUID], datetime]] = field(default_factory=list)

    def put(self, mime_type: str) -> MediaView:
        made = MediaView(new_id(), "image", "stored", mime_type, 100, None, None, None, None)
        self.known[made.id] = made
        return made

    async def outgoing(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], **_: object
    ) -> dict[UUID, MediaView]:
        return {media_id: self.known[media_id] for media_id in media_ids if media_id in self.known}

    async def attach(self, *_: object) -> None:
        return None

    async def keep_until(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], until: datetime
    ) -> bool:
        self.kept.append((set(media_ids), until))
        return True


class NoProvider:
    """Nobody there is asked to block anybody."""

    async def unblock(self, *_: object) -> list[Any]:
        return []


@dataclass
class Process:
    """One process with its own pool: the room, and a clock that fires when it is told to."""

    node: Node
    room: ScheduledMessages
    firing: TimerFiring
    sending: Sending
    deliveries: Deliveries
    files: KeptFiles
    lateness: list[float]

    async def fire(self) -> int:
        return await self.firing.fire_due()


@dataclass
class Stage:
    world: World
    process: Process

    @property
    def room(self) -> ScheduledMessages:
        return self.process.room

    @property
    def blocks(self) -> Blocks:
        """Without what they ask of providers."""
        node = self.world.node
        return Blocks(node.database, Silence(node.conversations), cast(Any, NoProvider()))

    @property
    def caller(self) -> Principal:
        return self.world.caller

    @property
    def supervisor(self) -> Principal:
        return replace(self.caller, agent_id=uuid4(), name="Grace", role="supervisor")

    @property
    def colleague(self) -> Principal:
        return replace(self.caller, agent_id=uuid4(), name="Edsger")

    async def fire(self) -> int:
        return await self.process.fire()

    async def execute(self, query: str, *values: object) -> None:
        async with self.world.node.database.session() as connection:
            await connection.execute(query, *values)

    async def schedule(self, thread: Thread, *, by: Principal | None = None, **given: Any) -> ScheduledView:
        """In an hour, unless ``when`` says otherwise."""
        made = await self.room.service.create(by or self.caller, thread.id, order(**given))
        return made.scheduled_message

    async def row(self, scheduled_id: UUID) -> Scheduled:
        async with self.world.node.database.transaction(readonly=True) as unit:
            found = await rows.find(unit, self.world.workspace_id, scheduled_id)
        assert found is not None
        return found

    async def state(self, scheduled_id: UUID) -> tuple[str, str | None]:
        row = await self.row(scheduled_id)
        return row.state, row.reason

    async def thread(self, thread: Thread) -> Thread:
        async with self.world.node.database.transaction(readonly=True) as unit:
            found = await thread_rows.find(unit, self.world.workspace_id, thread.id)
        assert found is not None
        return found

    async def bring_forward(self, scheduled_id: UUID, late: timedelta = timedelta(0)) -> None:
        """Its time has come, ``late`` ago."""
        await self.execute(
            """UPDATE scheduled_messages SET due_at = now() - $2::interval, by_hand = true WHERE id = $1""",
            scheduled_id,
            late,
        )
        await self.execute(
            """UPDATE timers SET due_at = now() - $2::interval, next_at = now() - $2::interval
               WHERE kind = 'scheduled.message' AND key LIKE $1 || '/%'""",
            str(scheduled_id),
            late,
        )

    async def come_due(self, scheduled_id: UUID, late: timedelta = timedelta(0)) -> tuple[str, str | None]:
        await self.bring_forward(scheduled_id, late)
        await self.fire()
        return await self.state(scheduled_id)

    async def timers(self, kind: str = "scheduled.message") -> list[tuple[str, datetime]]:
        found = await self.world.node.fetch("SELECT key, due_at FROM timers WHERE kind = $1 ORDER BY due_at, key", kind)
        return [(row[0], row[1]) for row in found]

    async def messages(self, scheduled_id: UUID) -> list[UUID]:
        found = await self.world.node.fetch(
            "SELECT id FROM messages WHERE origin_id = $1 ORDER BY number", scheduled_id
        )
        return [row[0] for row in found]

    async def reply(self, number: int = 1, *, node: Node | None = None) -> None:
        """What the customer of the world's ``number``-th conversation writes."""
        address = customer_address(self.world.channel, number)
        message = MessageReceived("111", f"in-{new_id()}", Person((address,)), (TextPart("Wait"),), datetime.now(UTC))
        await self.world.receive(message, node=node)

    async def events(self, kind: str | None = None) -> list[Json]:
        found = await self.world.node.fetch(
            "SELECT payload FROM events WHERE kind LIKE $1 ORDER BY position", kind or "scheduled_message.%"
        )
        return [orjson.loads(row[0]) for row in found]

    async def trail(self, scheduled_id: UUID) -> list[str]:
        found = await self.world.node.fetch(
            "SELECT action FROM audit_entries WHERE subject_id = $1 ORDER BY id", scheduled_id
        )
        return [row[0].removeprefix("scheduled.") for row in found]

    async def set_window(self, thread: Thread, opened: timedelta | None) -> None:
        await self.execute(
            "UPDATE conversations SET window_opened_at = now() - $2::interval WHERE id = $1", thread.id, opened
        )


def order(text: str = "How did it go?", **given: Any) -> ScheduleIn:
    given.setdefault("when", at(timedelta(hours=1)))
    given.setdefault("parts", [{"type": "text", "text": text}])
    return ScheduleIn.model_validate(given)


def at(ahead: timedelta = timedelta(0)) -> Json:
    return {"type": "at", "at": (datetime.now(UTC) + ahead).isoformat()}


def make_process(world: World, node: Node) -> Process:
    reactions = Reactions()
    node.database._reactions = reactions
    files, lateness = KeptFiles(), list[float]()
    sending = Sending(node.database, node.directory, node.conversations, cast(Any, files), node.templates, world.wake)
    deliveries = Deliveries(node.database, node.conversations, world.wake)

    class Parts:
        database = node.database
        event_log = node.event_log
        directory = node.directory
        conversations = node.conversations

    parts: Any = Parts()
    parts.sending, parts.reactions = sending, reactions

    class Metrics:
        handed_over = staticmethod(lateness.append)

    room = build_scheduled(
        parts,
        files=files,
        templates=node.templates,
        deliveries=deliveries,
        ties=Ties(node.conversations),
        metrics=cast(Any, Metrics()),
    )
    firing = TimerFiring(node.database)
    room.register(firing)
    return Process(node, room, firing, sending, deliveries, files, lateness)


@asynccontextmanager
async def make_stage(dsn: str, **more: Any) -> AsyncIterator[Stage]:
    async with make_world(dsn, **more) as world:
        yield Stage(world, make_process(world, world.node))


@asynccontextmanager
async def another(stage: Stage) -> AsyncIterator[Process]:
    """Another process over the same database."""
    node = await other_node(stage.world)
    try:
        yield make_process(stage.world, node)
    finally:
        await node.database.stop()
