"""What enrollments make of what happens around them, in the very transaction in which it happens.

Invariant: once the customer's reply, a block, a tag or any other stop is committed, no step is queued after it, and
what was queued before is taken back in the same transaction, unless it has left already.

A reaction touches no timer that stands: it changes rows, and a timer that fires for a row that has stopped finds so.
The lock of every conversation in which something is queued comes before the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from contacts.events import (
    ContactBlocked,
    ContactCreated,
    ContactHappened,
    ContactMerged,
    ContactReachability,
    ContactUpdated,
)
from inbox.conversations import repository as thread_rows
from inbox.conversations.events import ConversationCreated, ConversationMerged, ConversationUpdated
from inbox.conversations.schemas import ConversationView
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.eventlog import Event
from inbox.kernel.reactions import Reaction
from inbox.messages.events import MessageCreated, MessageStatusChanged
from scheduler.sequences import enrollment_rows as rows
from scheduler.sequences.enrollment_rows import Enrollment
from scheduler.sequences.progress import Again, after_current, after_earlier, step_state
from scheduler.sequences.schemas import StepView
from scheduler.sequences.walking import Round, Run, Walking

KINDS = (
    "message.created",
    "message.status",
    "conversation.created",
    "conversation.updated",
    "conversation.merged",
    "contact.created",
    "contact.updated",
    "contact.merged",
    "contact.blocked",
    "contact.reachability",
    "contact.event",
)


class Reactions(Protocol):
    def on(self, kind: str, reaction: Reaction) -> None: ...


@dataclass(slots=True)
class Heard:
    """What of a transaction's events may concern a sequence: of ordinary traffic, and of strangers, nothing does."""

    events: list[object] = field(default_factory=list)
    contacts: dict[UUID, None] = field(default_factory=dict)
    enrollments: dict[UUID, None] = field(default_factory=dict)
    conversations: dict[UUID, bool] = field(default_factory=dict)
    """Locked by this transaction; and whether they say already that something is tied to them."""
    told: set[UUID] = field(default_factory=set)
    """Locked, too: something was told of messages in them."""
    wide: bool = False
    """Something concerns a contact as a whole, not one conversation."""
    became: dict[UUID, UUID] = field(default_factory=dict)
    """Contacts that were merged into others."""

    def concerns(self, data: object) -> None:
        self.events.append(data)
        self.wide = True

    def contact(self, contact_id: UUID) -> UUID:
        while contact_id in self.became:
            contact_id = self.became[contact_id]
        return contact_id


def heard_in(events: Sequence[Event]) -> Heard:
    """Pure."""
    found = Heard()
    strangers = {event.data.contact.id for event in events if isinstance(event.data, ContactCreated)}
    new = {
        event.data.conversation.id
        for event in events
        if isinstance(event.data, ConversationCreated) and event.data.conversation.contact_id not in strangers
    }
    for event in events:
        data = event.data
        match data:
            case MessageCreated(conversation=conversation) if conversation.automated or conversation.id in new:
                _in_conversation(found, data, conversation)
            case ConversationCreated(conversation=conversation) if conversation.id in new:
                _in_conversation(found, data, conversation)
            case ConversationUpdated(conversation=conversation) | ConversationMerged(conversation=conversation) if (
                conversation.automated
            ):
                _in_conversation(found, data, conversation)
            case MessageStatusChanged(origin=origin) if origin is not None and origin.kind == "sequence":
                found.events.append(data)
                found.enrollments[origin.id] = None
                found.told.add(data.conversation_id)
            case ContactUpdated(contact=contact) | ContactBlocked(contact=contact):
                found.concerns(data)
                found.contacts[contact.id] = None
            case ContactMerged(contact=contact, merged=merged):
                found.concerns(data)
                found.contacts[contact.id] = None
                found.became[merged] = contact.id
            case ContactReachability(reach=reach) if reach.marketing_stopped_at is not None:
                found.concerns(data)
                found.contacts[reach.contact_id] = None
            case ContactHappened(happened=happened):
                found.concerns(data)
                found.contacts[happened.contact_id] = None
    return found


def _in_conversation(found: Heard, data: object, conversation: ConversationView) -> None:
    found.events.append(data)
    found.contacts[conversation.contact_id] = None
    found.conversations[conversation.id] = conversation.automated


class Reacting:
    def __init__(self, walking: Walking) -> None:
        self._walking = walking

    def register(self, reactions: Reactions) -> None:
        for kind in KINDS:
            reactions.on(kind, self.follow)

    async def follow(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        for workspace_id in sorted({event.workspace_id for event in events}):
            heard = heard_in([event for event in events if event.workspace_id == workspace_id])
            if heard.events:
                await self._follow(unit, workspace_id, heard)

    async def _follow(self, unit: UnitOfWork, workspace_id: UUID, heard: Heard) -> None:
        moved = await self._move(unit, workspace_id, heard)
        contacts = sorted({heard.contact(contact_id) for contact_id in heard.contacts})
        peeked = await rows.peek_running(unit, workspace_id, contacts) if contacts else []
        ids = sorted({*(row.id for row in peeked), *heard.enrollments})
        if not ids:
            # Nothing runs any more: the flag may go. A new conversation of somebody who is in nothing has none.
            flagged = [one for one, automated in heard.conversations.items() if automated]
            await self._walking.settle_ids(unit, workspace_id, flagged)
            return
        held = await self._hold(unit, workspace_id, heard, contacts, peeked)
        found = await rows.lock(unit, workspace_id, ids)
        if any(row.running and row.message_id and row.conversation_id not in held for row in found):
            raise Contended("a step was queued at this very moment")
        around = await self._walking.round(unit, workspace_id)
        runs = await self._walking.runs(unit, around, found)
        hearing = Hearing(self._walking, unit, around, heard, runs, moved)
        for data in heard.events:
            await hearing.hear(data)
        await hearing.conclude()
        if moved or heard.conversations or any(not run.row.running for run in runs):
            await self._walking.settle_ids(unit, workspace_id, held)

    async def _hold(
        self, unit: UnitOfWork, workspace_id: UUID, heard: Heard, contacts: Sequence[UUID], peeked: Sequence[Enrollment]
    ) -> set[UUID]:
        """The conversations that are locked then: those in which something is queued, so that it can be taken back.

        What concerns the contact as a whole concerns all of theirs. Others may go on saying that something is tied to
        them: the next thing that happens there finds that it is not so.
        """
        held = {*heard.conversations, *heard.told}
        if heard.wide and peeked:
            return held | {thread.id for thread in await thread_rows.of_contacts(unit, workspace_id, contacts)}
        sending = {row.conversation_id for row in peeked if row.message_id is not None and row.conversation_id}
        if sending - held:
            await thread_rows.lock_many(unit, workspace_id, [], sorted(sending))
        return held | sending

    async def _move(self, unit: UnitOfWork, workspace_id: UUID, heard: Heard) -> set[UUID]:
        """Rows follow the threads and contacts that became others. The running enrollments that moved."""
        moved: set[UUID] = set()
        for data in heard.events:
            if isinstance(data, ConversationMerged):
                await rows.follow_thread(unit, workspace_id, data.merged, data.conversation.id)
            elif isinstance(data, ContactMerged):
                survivor = heard.contact(data.contact.id)
                doubles = await rows.doubles(unit, workspace_id, data.merged, survivor)
                now = await unit.time()
                for row in doubles:
                    await self._walking.take_back(unit, workspace_id, row)
                    row.become("stopped", "merged", now)
                await self._walking.tell(unit, workspace_id, [(row, "stopped") for row in doubles], None)
                moved.update(await rows.follow_contact(unit, workspace_id, data.merged, survivor))
        return moved


class Hearing:
    """One transaction's events, told one after the other to the enrollments that they may concern."""

    def __init__(
        self,
        walking: Walking,
        unit: UnitOfWork,
        around: Round,
        heard: Heard,
        runs: Sequence[Run],
        moved: set[UUID],
    ) -> None:
        self._walking = walking
        self._unit = unit
        self._around = around
        self._heard = heard
        self._runs = runs
        self._changed: dict[UUID, tuple[Enrollment, str]] = {
            run.row.id: (run.row, "moved") for run in runs if run.row.id in moved
        }
        self._stopped: list[Enrollment] = []

    async def hear(self, data: object) -> None:
        match data:
            case MessageStatusChanged():
                await self._told(data)
            case MessageCreated():
                self._message(data)
            case ConversationUpdated(conversation=conversation):
                self._conversation(conversation)
            case ContactUpdated(contact=contact):
                for run in self._of(contact.id):
                    if set(run.definition.stop.tags) & set(contact.tags):
                        self._stop(run, "tag")
                    elif run.row.state == "active" and run.row.due_at is not None and run.row.zone != run.zone:
                        await self._rezone(run)
            case ContactBlocked(contact=contact):
                self._blocked(contact.id)
            case ContactReachability(reach=reach):
                for run in self._of(reach.contact_id):
                    if run.definition.stop.opt_out:
                        self._stop(run, "opt_out")
            case ContactHappened(happened=happened):
                for run in self._of(happened.contact_id):
                    if happened.name in run.definition.stop.events:
                        self._stop(run, "event")

    async def conclude(self) -> None:
        """Write what changed, and take back what is queued of those that stopped."""
        for row in self._stopped:
            await self._walking.take_back(self._unit, self._around.workspace_id, row)
        changed = [self._changed[key] for key in sorted(self._changed)]
        if changed:
            await self._walking.tell(self._unit, self._around.workspace_id, changed, None)

    # --- what people do -----------------------------------------------------------------------------------------------

    def _message(self, data: MessageCreated) -> None:
        message, conversation = data.message, data.conversation
        for run in self._of(conversation.contact_id):
            stop = run.definition.stop
            if message.direction == "in":
                if run.row.replied_at is None:
                    run.row.replied_at = self._around.now
                    self._change(run, "replied")
                if stop.reply:
                    self._stop(run, "reply")
            elif message.origin is None:
                if stop.agent_reply and message.author.kind == "agent":
                    self._stop(run, "agent_reply")
                elif stop.native_app and message.author.kind == "native_app":
                    self._stop(run, "native_app")

    def _conversation(self, conversation: ConversationView) -> None:
        """Closed, or given to somebody else than it belonged to when the sequence began to talk there."""
        for run in self._of(conversation.contact_id):
            row, stop = run.row, run.definition.stop
            if row.conversation_id != conversation.id or row.reason == "blocked":
                continue
            if stop.closed and conversation.status == "closed":
                self._stop(run, "closed")
            elif conversation.assignee_id != row.assignee_id:
                given = conversation.assignee_id is not None
                row.assignee_id = conversation.assignee_id
                self._change(run, "reassigned")
                if stop.assigned and given:
                    self._stop(run, "assigned")

    def _blocked(self, contact_id: UUID) -> None:
        for run in self._of(contact_id):
            if run.definition.stop.block == "stop":
                self._stop(run, "block")
            elif run.row.state == "active":
                run.row.become("paused", "blocked", self._around.now)
                self._stopped.append(run.row)
                self._change(run, "paused")

    async def _rezone(self, run: Run) -> None:
        """The contact's wall clock is another one now: the wait is reckoned anew, from where it began."""
        if run.row.waits_since is None:
            run.row.zone = run.zone
        else:
            await self._walking.wait(self._unit, self._around, run, since=run.row.waits_since)
        self._change(run, "postponed")

    # --- our own messages ---------------------------------------------------------------------------------------------

    async def _told(self, change: MessageStatusChanged) -> None:
        """How a step's message fares."""
        assert change.origin is not None, "only what has an origin is heard"
        step = await rows.find_step(self._unit, self._around.workspace_id, change.message_id)
        run = next((run for run in self._runs if run.row.id == change.origin.id), None)
        if step is None or run is None:
            return
        current = run.row.message_id == change.message_id
        state = step_state(change.status, step.state, current=current)
        fault = None if change.fault is None else change.fault.code
        if state != step.state or fault != step.reason:
            noted = rows.renumbered(step, state=state, reason=fault, at=self._around.now)
            await rows.put_step(self._unit, self._around.workspace_id, run.row.id, noted)
            self._change(run, f"step_{state}")
        if state == step.state:
            return
        await self._go_on(run, step, state, fault, current=current)

    async def _go_on(self, run: Run, step: StepView, state: str, fault: str | None, *, current: bool) -> None:
        row = run.row
        if current:
            fallback = run.step is not None and run.step.fallback is not None
            move = after_current(
                state,  # type: ignore[arg-type]
                fault,
                run.definition,
                active=row.state == "active",
                retries=row.retries,
                has_fallback=fallback and not step.fell_back and row.attempt == 1,
            )
        else:
            keys = [one.key for one in run.definition.steps]
            place = keys.index(step.step_key) if step.step_key in keys else None
            waits = row.state == "active" and row.message_id is None
            move = after_earlier(
                state,  # type: ignore[arg-type]
                run.definition,
                retries=step.attempt - 1,
                waits_again=waits and place == row.position,
                went_on=waits and place is not None and place + 1 == row.position and row.attempt == 1,
            )
            if place is not None and isinstance(move, Again):
                row.position, row.attempt, row.retries = place, step.attempt, step.attempt - 1
        await self._walking.apply(self._unit, self._around, run, move)

    # ------------------------------------------------------------------------------------------------------------------

    def _of(self, contact_id: UUID) -> list[Run]:
        contact = self._heard.contact(contact_id)
        return [run for run in self._runs if run.row.contact_id == contact and run.row.running]

    def _change(self, run: Run, action: str) -> None:
        self._changed[run.row.id] = (run.row, action)

    def _stop(self, run: Run, reason: str) -> None:
        if not run.row.running:
            return
        run.row.become("stopped", reason, self._around.now)
        self._stopped.append(run.row)
        self._change(run, "stopped")
