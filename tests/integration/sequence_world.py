"""A workspace with sequences, with the clock in the test's own hand. Helpers, no tests."""

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
from contacts.schemas import HappenedIn
from contacts.service import Contacts
from inbox.agents.principal import Principal
from inbox.blocking.service import Blocks
from inbox.blocking.silence import Silence
from inbox.connections.directory import Channel
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.conversations.schemas import ConversationPatch
from inbox.kernel.database import UnitOfWork
from inbox.kernel.ids import new_id
from inbox.kernel.reactions import Reactions
from inbox.kernel.timers_firing import TimerFiring
from inbox.messages.schemas import SendIn
from inbox.messages.sending import Sending
from scheduler.sequences.build import SequencesRoom, build_sequences
from scheduler.sequences.schemas import EnrolIn, EnrollmentView, SequenceIn, SequencePatch, SequenceView, VerdictView
from scheduler.ties import Ties

Json = dict[str, Any]


class NoFiles:
    async def outgoing(self, *_: object, **__: object) -> dict[UUID, Any]:
        return {}

    async def attach(self, *_: object) -> None:
        return None

    async def keep_until(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], until: datetime
    ) -> bool:
        return True


class NoProvider:
    """Nobody there is asked to block anybody."""

    async def unblock(self, *_: object) -> list[Any]:
        return []


@dataclass
class Process:
    """One process with its own pool: the room, and a clock that fires when it is told to."""

    node: Node
    room: SequencesRoom
    firing: TimerFiring
    sending: Sending
    lateness: list[float] = field(default_factory=list)

    async def fire(self) -> int:
        return await self.firing.fire_due()


@dataclass
class Stage:
    world: World
    process: Process

    @property
    def room(self) -> SequencesRoom:
        return self.process.room

    @property
    def blocks(self) -> Blocks:
        """Without what they ask of providers."""
        node = self.world.node
        return Blocks(node.database, Silence(node.conversations), cast(Any, NoProvider()))

    @property
    def contacts(self) -> Contacts:
        return Contacts(self.world.node.database)

    @property
    def caller(self) -> Principal:
        return self.world.caller

    @property
    def supervisor(self) -> Principal:
        return replace(self.caller, agent_id=uuid4(), name="Grace", role="supervisor")

    async def fire(self) -> int:
        return await self.process.fire()

    async def execute(self, query: str, *values: object) -> None:
        async with self.world.node.database.session() as connection:
            await connection.execute(query, *values)

    # --- sequences ----------------------------------------------------------------------------------------------------

    async def sequence(self, *steps: Json, name: str = "Welcome", **given: Any) -> SequenceView:
        """Published. Two steps, the second after a day, unless said otherwise."""
        draft = {"steps": list(steps) or [step("one"), step("two", days=1)], **given}
        made = await self.room.sequences.create(
            self.supervisor, SequenceIn.model_validate({"name": name, "draft": draft})
        )
        return await self.room.sequences.publish(self.supervisor, made.id, version=None)

    async def publish(self, sequence: SequenceView, *steps: Json, **given: Any) -> SequenceView:
        """Another version."""
        patch = SequencePatch.model_validate({"draft": {"steps": list(steps), **given}})
        await self.room.sequences.change(self.supervisor, sequence.id, patch, version=None)
        return await self.room.sequences.publish(self.supervisor, sequence.id, version=None)

    async def verdict(
        self, sequence: SequenceView, contact_id: UUID, *, process: Process | None = None, **given: Any
    ) -> VerdictView:
        order = EnrolIn.model_validate({"contact_ids": [contact_id], **given})
        room = (process or self.process).room
        (verdict,) = await room.enrolling.enrol(self.caller, sequence.id, order)
        return verdict

    async def enrol(self, sequence: SequenceView, thread: Thread, **given: Any) -> UUID:
        verdict = await self.verdict(sequence, thread.contact_id, **given)
        assert verdict.outcome == "enrolled", verdict
        assert verdict.enrollment_id is not None
        return verdict.enrollment_id

    async def read(self, enrollment_id: UUID) -> EnrollmentView:
        return await self.room.enrollments.read(self.caller, enrollment_id)

    async def state(self, enrollment_id: UUID) -> tuple[str, str | None]:
        view = await self.read(enrollment_id)
        return view.state, view.reason

    async def steps(self, enrollment_id: UUID) -> list[tuple[str, int, str, str | None]]:
        view = await self.read(enrollment_id)
        return [(one.step_key, one.attempt, one.state, one.reason) for one in view.steps]

    async def bring_forward(self, enrollment_id: UUID, late: timedelta = timedelta(0)) -> None:
        """The time of its next step has come, ``late`` ago."""
        await self.execute(
            "UPDATE enrollments SET due_at = now() - $2::interval, waits_since = NULL"
            " WHERE id = $1 AND state = 'active' AND message_id IS NULL",
            enrollment_id,
            late,
        )
        await self.execute(
            """UPDATE timers SET due_at = now() - $2::interval, next_at = now() - $2::interval
               WHERE kind = 'sequence.step' AND key LIKE $1 || '/%'""",
            str(enrollment_id),
            late,
        )

    async def come_due(self, enrollment_id: UUID, late: timedelta = timedelta(0)) -> EnrollmentView:
        """The next step's time comes, and the clock looks."""
        await self.bring_forward(enrollment_id, late)
        await self.fire()
        return await self.read(enrollment_id)

    async def deliver(self) -> None:
        """Everything queued goes out, and is accepted or not, as the script says."""
        await self.world.run_until_idle()

    async def timers(self, enrollment_id: UUID) -> list[tuple[str, datetime]]:
        found = await self.world.node.fetch(
            "SELECT key, due_at FROM timers WHERE kind = 'sequence.step' AND key LIKE $1 || '/%' ORDER BY due_at, key",
            str(enrollment_id),
        )
        return [(row[0], row[1]) for row in found]

    # --- what happens -------------------------------------------------------------------------------------------------

    async def conversations(self, contact_id: UUID) -> list[Any]:
        return await self.world.node.fetch(
            "SELECT id, channel_id, automated, status FROM conversations WHERE contact_id = $1 ORDER BY id", contact_id
        )

    async def second(self, thread: Thread, channel: Channel) -> Thread:
        """A conversation of the same contact on another channel."""
        other = await self.world.conversation(channel)
        for table in ("conversations", "identities"):
            await self.execute(
                f"UPDATE {table} SET contact_id = $1 WHERE contact_id = $2", thread.contact_id, other.contact_id
            )
        return other

    async def reply(self, number: int = 1, *, channel: Channel | None = None, node: Node | None = None) -> None:
        """What the customer of the world's ``number``-th conversation writes."""
        channel = channel or self.world.channel
        address = customer_address(channel, number)
        message = MessageReceived(
            channel.account.account_id,
            f"in-{new_id()}",
            Person((address,)),
            (TextPart("Wait"),),
            datetime.now(UTC),
        )
        await self.world.receive(message, channel=channel, node=node)

    async def close(self, thread: Thread) -> None:
        conversations = self.world.node.conversations
        await conversations.change(self.caller, thread.id, ConversationPatch(status="closed"), version=None)

    async def answer(self, thread: Thread) -> None:
        """A person answers by hand."""
        text = {"parts": [{"type": "text", "text": "I am on it"}]}
        await self.process.sending.send(self.caller, thread.id, SendIn.model_validate(text))

    async def happen(self, thread: Thread, name: str) -> None:
        await self.contacts.note_happened(self.world.workspace_id, thread.contact_id, HappenedIn(name=name))

    async def tag(self, thread: Thread, tag: str) -> None:
        await self.contacts.tag(self.world.workspace_id, thread.contact_id, add=[tag], remove=[])

    async def set_window(self, thread: Thread, opened: timedelta | None) -> None:
        await self.execute(
            "UPDATE conversations SET window_opened_at = now() - $2::interval WHERE id = $1", thread.id, opened
        )

    async def thread(self, thread: Thread) -> Thread:
        async with self.world.node.database.transaction(readonly=True) as unit:
            found = await thread_rows.find(unit, self.world.workspace_id, thread.id)
        assert found is not None
        return found

    async def texts(self, contact_id: UUID) -> list[str]:
        """Of all messages of sequences to this contact that were not taken back, in order."""
        found = await self.world.node.fetch(
            """SELECT m.parts FROM messages m JOIN conversations v ON v.workspace_id = m.workspace_id
                   AND v.id = m.conversation_id
               WHERE v.contact_id = $1 AND m.origin_kind = 'sequence' AND m.status <> 'cancelled'
               ORDER BY m.created_at, m.id""",
            contact_id,
        )
        return [str(part.get("text")) for row in found for part in row[0]]

    async def events(self, kind: str = "enrollment.%") -> list[Json]:
        found = await self.world.node.fetch("SELECT payload FROM events WHERE kind LIKE $1 ORDER BY position", kind)
        return [orjson.loads(row[0]) for row in found]

    async def trail(self, subject_id: UUID) -> list[str]:
        found = await self.world.node.fetch(
            "SELECT action FROM audit_entries WHERE subject_id = $1 ORDER BY id", subject_id
        )
        return [row[0].partition(".")[2] for row in found]


def step(key: str, text: str | None = None, *, days: int = 0, seconds: int = 0, **given: Any) -> Json:
    """At any hour. ``wait`` in ``given`` adds to it."""
    delay = {"value": days, "unit": "days"} if days else {"value": seconds, "unit": "seconds"}
    wait = {"delay": delay, "quiet_hours": False, **given.pop("wait", {})}
    return {"key": key, "parts": [{"type": "text", "text": text or key}], "wait": wait, **given}


def make_process(world: World, node: Node) -> Process:
    reactions = Reactions()
    node.database._reactions = reactions
    files, lateness = NoFiles(), list[float]()
    sending = Sending(node.database, node.directory, node.conversations, cast(Any, files), node.templates, world.wake)

    class Parts:
        database = node.database
        directory = node.directory
        conversations = node.conversations

    parts: Any = Parts()
    parts.sending, parts.reactions = sending, reactions

    class Metrics:
        handed_over = staticmethod(lateness.append)

    room = build_sequences(parts, files=cast(Any, files), ties=Ties(node.conversations), metrics=cast(Any, Metrics()))
    firing = TimerFiring(node.database)
    room.register(firing)
    return Process(node, room, firing, sending, lateness)


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
