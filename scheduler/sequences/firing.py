"""What happens when the time of a step has come.

Order of locks: the timers, which the clock holds; contacts, conversations and enrollments, each by id. What the row
wants is asked again under its lock: a reply, a block, a pause that committed first is seen, and one that comes later
finds the message queued, and takes it back or finds it gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never
from uuid import UUID

from contacts.schemas import ContactView
from inbox.connections.directory import Directory
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.errors import InboxError, Unavailable
from inbox.kernel.timers import Timer
from inbox.messages.outgoing import Author, SendConditions
from inbox.messages.schemas import OriginView
from inbox.messages.sending import Sending
from scheduler.sequences import enrollment_rows as rows
from scheduler.sequences import repository as sequence_rows
from scheduler.sequences.deciding import End, Facts, Fail, Ignore, Later, Option, Pause, Person, Send, Skip, Way, decide
from scheduler.sequences.enrollment_rows import Enrollment
from scheduler.sequences.progress import Next, failure
from scheduler.sequences.reach import Reach
from scheduler.sequences.schemas import SequenceView
from scheduler.sequences.versions import move_to
from scheduler.sequences.walking import Round, Run, Walking, hours


@dataclass(slots=True)
class Locked:
    """What a transaction holds for the enrollments it looks at. ``threads``: of each contact."""

    contacts: dict[UUID, ContactView]
    threads: dict[UUID, list[Thread]]
    rows: list[Enrollment]
    opted_out: set[UUID] = field(default_factory=set)


async def lock(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> Locked:
    """These enrollments, with everything that a step may touch. Raises ``Contended`` when one moved meanwhile."""
    wanted = sorted({row.contact_id for row in await rows.peek(unit, workspace_id, ids)})
    contacts = await rows.lock_contacts(unit, workspace_id, wanted)
    threads: dict[UUID, list[Thread]] = {contact_id: [] for contact_id in wanted}
    for thread in await thread_rows.of_contacts(unit, workspace_id, wanted):
        threads[thread.contact_id].append(thread)
    found = await rows.lock(unit, workspace_id, ids)
    if any(row.contact_id not in contacts for row in found):
        raise Contended("the contact became another one")
    return Locked(contacts, threads, found)


class Firing:
    """``fire`` handles timers. ``observe`` gets the lateness of every step in seconds, after the commit."""

    def __init__(
        self,
        sending: Sending,
        conversations: Conversations,
        directory: Directory,
        walking: Walking,
        observe: Callable[[float], None],
    ) -> None:
        self._sending = sending
        self._conversations = conversations
        self._directory = directory
        self._reach = Reach(conversations, directory)
        self._walking = walking
        self._observe = observe

    async def fire(self, unit: UnitOfWork, timers: list[Timer]) -> None:
        for workspace_id in sorted({timer.workspace_id for timer in timers}):
            numbers: dict[UUID, set[int]] = {}
            for timer in timers:
                if timer.workspace_id == workspace_id:
                    enrollment_id, _, number = timer.key.partition("/")
                    numbers.setdefault(UUID(enrollment_id), set()).add(int(number))
            held = await lock(unit, workspace_id, list(numbers))
            around = await self._walking.round(unit, workspace_id)
            zones = {contact.id: contact.time_zone for contact in held.contacts.values()}
            # Decided before the sequence is looked at: what is not meant costs nothing more.
            meant = [row for row in held.rows if row.timer_number in numbers[row.id] and row.state == "active"]
            meant.sort(key=lambda row: (row.due_at or around.now, row.id))
            sequences = await sequence_rows.find_many(unit, workspace_id, {row.sequence_id for row in meant})
            held.opted_out = await rows.opted_out(unit, workspace_id, list(held.contacts))
            runs = await self._walking.runs(unit, around, meant, zones)
            done = [(run.row, await self._one(unit, around, run, sequences[run.row.sequence_id], held)) for run in runs]
            await self._walking.tell(unit, workspace_id, [one for one in done if one[1]], None)
            ended = {row.contact_id for row, _ in done if not row.running}
            threads = [thread.id for contact_id in ended for thread in held.threads[contact_id]]
            await self._walking.settle_ids(unit, workspace_id, threads)

    async def _one(self, unit: UnitOfWork, around: Round, run: Run, sequence: SequenceView, held: Locked) -> str:
        """What was done; nothing, if the row did not want it."""
        row, workspace_id = run.row, around.workspace_id
        if row.follows and sequence.published is not None and sequence.published != row.sequence_version:
            await move_to(unit, self._walking, around, run, sequence.published)
        contact, threads = held.contacts[row.contact_id], held.threads[row.contact_id]
        opted_out = contact.id in held.opted_out
        facts = await self._facts(unit, around, run, sequence, contact, threads, opted_out=opted_out)
        verdict = decide(facts)
        action = "changed"
        match verdict:
            case Ignore():
                return ""
            case Later(until=until):
                action = "postponed"
                row.zone = run.zone
                row.wait_until(until, since=row.waits_since)
                await self._walking.set_timer(unit, workspace_id, row)
            case Send(ways=ways):
                action = await self._send(unit, around, run, sequence, ways, threads)
            case Skip(reason=reason):
                action = "step_skipped"
                if reason is not None:
                    await self._walking.note(unit, around, run, "skipped", reason)
                await self._walking.apply(unit, around, run, Next())
            case Fail(reason=reason):
                action = await self._fail(unit, around, run, reason)
            case Pause(reason=reason):
                action = "paused"
                row.become("paused", reason, around.now)
            case End(state=state, reason=reason):
                action = state
                row.become(state, reason, around.now)
            case _:
                assert_never(verdict)
        return action

    async def _facts(
        self,
        unit: UnitOfWork,
        around: Round,
        run: Run,
        sequence: SequenceView,
        contact: ContactView,
        threads: Sequence[Thread],
        *,
        opted_out: bool,
    ) -> Facts:
        row, step, definition = run.row, run.step, run.definition
        assert row.due_at is not None, "an active enrollment that waits has a time"
        ends: datetime | None = None
        allowed: datetime | None = around.now
        options: list[Option] = []
        earlier: str | None = None
        if step is not None:
            wait, (quiet, business) = step.wait.wait(), hours(around, run, step)
            if row.waits_since is not None:
                ends = wait.ends(row.waits_since, run.zone, quiet, business)
            allowed = wait.allows(around.now, run.zone, quiet, business)
            options = await self._reach.options(
                unit,
                around.workspace_id,
                contact.id,
                threads,
                step,
                definition.purpose,
                tied=row.conversation_id,
                now=around.now,
            )
            earlier = await self._earlier(unit, around.workspace_id, row) if row.attempt > 1 else None
        return Facts(
            now=around.now,
            state=row.state,
            meant=True,
            archived=sequence.state == "archived",
            due_at=row.due_at,
            ends=ends,
            allowed=allowed,
            late=definition.late.policy,
            late_after=definition.late.after.span,
            stop=definition.stop,
            step=step,
            blocked=contact.blocked is not None,
            opted_out=opted_out,
            closed=any(thread.id == row.conversation_id and thread.status == "closed" for thread in threads),
            person=person_of(contact, row),
            earlier=earlier,
            options=options,
        )

    async def _earlier(self, unit: UnitOfWork, workspace_id: UUID, row: Enrollment) -> str | None:
        steps = (await rows.steps_of(unit, workspace_id, [row.id])).get(row.id, [])
        last = next((step for step in reversed(steps) if step.message_id is not None), None)
        if last is None or last.attempt != row.attempt - 1 or last.message_id is None:
            return None
        return await rows.message_status(unit, workspace_id, last.message_id)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send(
        self,
        unit: UnitOfWork,
        around: Round,
        run: Run,
        sequence: SequenceView,
        ways: Sequence[Way],
        threads: list[Thread],
    ) -> str:
        """On the first way that takes it. What was done."""
        reason = "no_channel"
        for way in ways:
            try:
                async with unit.savepoint():
                    await self._queue(unit, around, run, sequence, way, threads)
            except Unavailable:
                raise  # nobody's fault: the clock tries it again
            except InboxError as error:
                reason = str(error.facts.get("reason") or error.code)
                continue
            return "step_queued"
        return await self._fail(unit, around, run, reason)

    async def _queue(
        self, unit: UnitOfWork, around: Round, run: Run, sequence: SequenceView, way: Way, threads: list[Thread]
    ) -> None:
        row, step, workspace_id = run.row, run.step, around.workspace_id
        assert step is not None, "only a step that is there is sent"
        assert row.due_at is not None, "a step that is sent was due"
        thread = await self._thread(unit, workspace_id, row.contact_id, way, threads)
        channel = await self._directory.get(workspace_id, thread.channel_id)
        message = await self._sending.queue(
            unit,
            Author(workspace_id, "system", None, sequence.name),
            thread,
            channel,
            run.definition.order(step, fallback=way.fallback),
            origin=OriginView("sequence", row.id),
            conditions=self._conditions(around, run, thread),
        )
        if thread not in threads:
            threads.append(thread)
        late = max(timedelta(0), around.now - row.due_at)
        await self._walking.note(
            unit,
            around,
            run,
            "queued",
            None,
            message_id=message.id,
            place=thread,
            fell_back=way.fallback,
            late=late,
        )
        if row.conversation_id != thread.id:
            row.conversation_id, row.assignee_id = thread.id, thread.assignee_id
        row.message_id, row.due_at, row.waits_since = message.id, None, None
        unit.after_commit(partial(self._observe, late.total_seconds()))

    async def _thread(
        self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, way: Way, threads: list[Thread]
    ) -> Thread:
        for thread in threads:
            if thread.id == way.option.conversation_id:
                return thread
        wanted = (way.option.channel_id, way.option.identity_id, contact_id)
        (thread,) = await self._conversations.open_for(unit, workspace_id, [wanted])
        await self._conversations.record_created(unit, workspace_id, thread)
        await self._walking.settle(unit, workspace_id, [thread])
        return thread

    def _conditions(self, around: Round, run: Run, thread: Thread) -> SendConditions:
        """What the last gate asks again when it leaves."""
        definition, step = run.definition, run.step
        assert step is not None, "only a step that is there is sent"
        quiet, _ = hours(around, run, step)
        return SendConditions(
            hold_after_number=thread.last_inbound_number if definition.stop.reply else None,
            stop_when_closed=definition.stop.closed,
            quiet=quiet,
            expires_at=None if definition.late.policy == "send" else around.now + definition.late.after.span,
            bulk=definition.purpose == "marketing",
        )

    async def _fail(self, unit: UnitOfWork, around: Round, run: Run, reason: str) -> str:
        await self._walking.note(unit, around, run, "failed", reason)
        await self._walking.apply(unit, around, run, failure(reason, run.definition, retries=run.row.retries))
        return "step_failed"


def person_of(contact: ContactView, row: Enrollment) -> Person:
    fields = {
        name: getattr(contact, name)
        for name in ("name", "first_name", "last_name", "email", "phone", "language", "time_zone")
    }
    own = {f"custom.{name}": value for name, value in contact.custom.items()}
    return Person(frozenset(contact.tags), {**fields, **own}, row.replied_at is not None)
