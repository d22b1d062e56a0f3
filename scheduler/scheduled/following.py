"""What scheduled messages make of what happens around them, in the very transaction in which it happens.

Invariant: a reaction touches no timer that stands. It changes rows under the locks of their conversations, and a timer
that fires for a row that has stopped waiting does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from contacts.events import ContactBlocked, ContactMerged, ContactReachability, ContactUpdated
from inbox.agents.events import WorkspaceUpdated
from inbox.agents.workspaces import find_times
from inbox.conversations import repository as thread_rows
from inbox.conversations.events import ConversationMerged
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import InboxError, Unavailable
from inbox.kernel.eventlog import Event
from inbox.kernel.ids import new_id
from inbox.kernel.reactions import Reaction
from inbox.kernel.timers import set_timer
from inbox.messages.events import MessageCreated, MessageStatusChanged
from scheduler.scheduled import occurrence_rows
from scheduler.scheduled import repository as rows
from scheduler.scheduled.deciding import Outcome, outcome
from scheduler.scheduled.firing import REZONE, refusal
from scheduler.scheduled.handing import HandOver, Place
from scheduler.scheduled.repository import Scheduled


class Reactions(Protocol):
    def on(self, kind: str, reaction: Reaction) -> None: ...


class Following:
    def __init__(self, hand_over: HandOver) -> None:
        self._hand_over = hand_over

    def register(self, reactions: Reactions) -> None:
        reactions.on("message.created", self.replied)
        reactions.on("message.status", self.told)
        reactions.on("conversation.merged", self.joined)
        reactions.on("contact.blocked", self.contact_changed)
        reactions.on("contact.updated", self.contact_changed)
        reactions.on("contact.merged", self.contact_changed)
        reactions.on("contact.reachability", self.reach_changed)
        reactions.on("workspace.updated", self.workspace_changed)

    # --- the customer -------------------------------------------------------------------------------------------------

    async def replied(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        """What was to wait for the customer's silence is held for a person."""
        wrote = {
            (event.workspace_id, event.data.conversation.id): event.data.message.number
            for event in events
            if isinstance(event.data, MessageCreated)
            and event.data.conversation.automated
            and event.data.message.direction == "in"
        }
        for (workspace_id, conversation_id), number in sorted(wrote.items()):
            condition = "s.conversation_id = $2 AND s.hold_on_reply AND s.hold_after_number < $3"
            found = await rows.lock_where(unit, workspace_id, condition, conversation_id, number)
            await self._hold(unit, workspace_id, found, "replied")

    async def contact_changed(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        """Blocked: everything of theirs is held. A changed zone is for the clock, in a transaction of its own."""
        for event in events:
            if not isinstance(event.data, ContactBlocked | ContactUpdated | ContactMerged):
                continue
            contact = event.data.contact
            if contact.blocked is not None:
                await self._hold_where(unit, event.workspace_id, "v.contact_id = $2", contact.id, reason="blocked")
            else:
                await self._reckon(unit, event.workspace_id, contact.id)

    async def reach_changed(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        for event in events:
            if not isinstance(event.data, ContactReachability):
                continue
            reach, condition = event.data.reach, "v.identity_id = $2"
            if reach.unreachable is not None:
                await self._hold_where(unit, event.workspace_id, condition, reach.identity_id, reason="unreachable")
            elif reach.marketing_stopped_at is not None:
                condition += " AND s.content->>'purpose' = 'marketing'"
                await self._hold_where(unit, event.workspace_id, condition, reach.identity_id, reason="opted_out")

    async def workspace_changed(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event.data, WorkspaceUpdated):
                await self._reckon(unit, event.workspace_id, None)

    async def _reckon(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID | None) -> None:
        if not await rows.in_wrong_zone(unit, workspace_id, contact_id, 1):
            return
        now = await unit.time()
        payload = {} if contact_id is None else {"contact_id": str(contact_id)}
        await set_timer(unit, workspace_id, REZONE, str(new_id()), now, payload)

    async def _hold_where(
        self, unit: UnitOfWork, workspace_id: UUID, condition: str, *values: object, reason: str
    ) -> None:
        places = await rows.places_waiting(unit, workspace_id, condition, *values)
        if places:
            await thread_rows.lock_many(unit, workspace_id, [], places)
            found = await rows.lock_where(unit, workspace_id, condition, *values)
            await self._hold(unit, workspace_id, found, reason)

    async def _hold(self, unit: UnitOfWork, workspace_id: UUID, found: Sequence[Scheduled], reason: str) -> None:
        if not found:
            return
        now = await unit.time()
        for row in found:
            row.become("held", reason, now)
            await self._hand_over.tell(unit, workspace_id, row, "held", None, {"reason": reason})
        await self._settle(unit, workspace_id, {row.conversation_id for row in found})

    async def _settle(self, unit: UnitOfWork, workspace_id: UUID, places: set[UUID]) -> None:
        for thread in await thread_rows.lock_many(unit, workspace_id, [], sorted(places)):
            await self._hand_over.ties.settle(unit, workspace_id, thread)

    # --- threads ------------------------------------------------------------------------------------------------------

    async def joined(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        for event in events:
            if not isinstance(event.data, ConversationMerged):
                continue
            target, merged = event.data.conversation.id, event.data.merged
            moved = await rows.ids_in(unit, event.workspace_id, merged)
            await rows.follow_thread(unit, event.workspace_id, merged, target)
            (thread,) = await thread_rows.lock_many(unit, event.workspace_id, [], [target])
            now = await unit.time()
            for row in await rows.of_thread(unit, event.workspace_id, target):
                answered = row.hold_on_reply and thread.last_inbound_number > row.hold_after_number
                if row.state == "scheduled" and answered:
                    row.become("held", "replied", now)
                    await self._hand_over.tell(unit, event.workspace_id, row, "held", None, {"reason": "replied"})
                elif row.id in moved:
                    await self._hand_over.tell(unit, event.workspace_id, row, "moved", None, {"from": str(merged)})
            await self._hand_over.ties.settle(unit, event.workspace_id, thread)

    # --- our own messages ---------------------------------------------------------------------------------------------

    async def told(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        """How the message fares that a scheduled one became."""
        for event in events:
            change = event.data
            if isinstance(change, MessageStatusChanged) and change.origin and change.origin.kind == "scheduled":
                for row in await rows.lock(unit, event.workspace_id, [change.origin.id]):
                    await self._follow(unit, event.workspace_id, row, change)

    async def _follow(self, unit: UnitOfWork, workspace_id: UUID, row: Scheduled, change: MessageStatusChanged) -> None:
        before = (row.state, row.reason, row.uncertain, row.message_id)
        fault = None if change.fault is None else change.fault.code
        result = outcome(change.status, fault, when_closed=row.when_closed, catch_up=row.catch_up)
        if result.state in ("held", "skipped") and await occurrence_rows.anything_left(
            unit, workspace_id, change.message_id
        ):
            result = Outcome("failed", fault or change.status)  # the rest of it must not bring the beginning again
        current = row.message_id == change.message_id
        if result.reason == "window_closed" and current and row.fallback is not None and not row.fell_back:
            result = await self._fall_back(unit, workspace_id, row)
        now = await unit.time()
        last = not row.recurring or row.state not in ("scheduled", "held", "cancelled")
        if row.recurring:
            one = await occurrence_rows.find(unit, workspace_id, row.id, change.message_id)
            if one is not None:
                now_so = replace(one, state=result.state, reason=result.reason, uncertain=result.uncertain)
                if row.message_id != change.message_id and current:
                    now_so = replace(now_so, message_id=row.message_id, fell_back=True)
                await occurrence_rows.put(unit, workspace_id, row, now_so)
        if current and last:
            row.become(result.state, result.reason, now, uncertain=result.uncertain)
        elif result.state == "held" and row.state == "scheduled":
            row.become("held", result.reason, now)
        if (row.state, row.reason, row.uncertain, row.message_id) != before:
            detail = {"reason": row.reason, "uncertain": row.uncertain, "message_id": str(change.message_id)}
            await self._hand_over.tell(unit, workspace_id, row, row.state, None, detail)
            await self._settle(unit, workspace_id, {row.conversation_id})

    async def _fall_back(self, unit: UnitOfWork, workspace_id: UUID, row: Scheduled) -> Outcome:
        """The window closed after it was queued: the template goes in its place, under the same conditions."""
        (thread,) = await thread_rows.lock_many(unit, workspace_id, [], [row.conversation_id])
        channel = await self._hand_over.directory.get(workspace_id, row.channel_id)
        times = await find_times(unit, workspace_id)
        zone = await rows.own_zone(unit, workspace_id, row.contact_id) or times.time_zone
        place, now = Place(thread, channel, times, zone), await unit.time()
        try:
            message = await self._hand_over.queue(unit, row, place, now, fallback=True, by=None)
        except Unavailable:
            raise
        except InboxError as error:
            return refusal(error)
        self._hand_over.handed(row, message, now, fallback=True)
        return Outcome("due")
