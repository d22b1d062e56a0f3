"""What people decide about a scheduled message that exists: edit, move, send now, cancel, resume.

Invariant (P6): of a decision and the clock exactly one wins, and the loser hears which. Each takes the timer first,
then the conversation, then the row, and looks at its state there; the clock does the same. Whatever is refused changes
nothing, the timer neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.agents.workspaces import find_times
from inbox.blocking.pausable import APART
from inbox.blocking.repository import free_slot
from inbox.conversations.service import ConversationUnknown
from inbox.delivery.service import Deliveries
from inbox.kernel.database import Contended, Database, UnitOfWork
from inbox.kernel.errors import Invalid
from inbox.kernel.timers import cancel_timer
from inbox.kernel.versions import VersionChanged
from inbox.messages.preview import outgoing_preview
from inbox.messages.schemas import SendIn
from inbox.messages.sending import ComposerRefused
from scheduler.scheduled import occurrence_rows, plans
from scheduler.scheduled import repository as rows
from scheduler.scheduled.deciding import Outcome
from scheduler.scheduled.drafting import refuse_if_never
from scheduler.scheduled.errors import NotTheAuthor, ScheduledUnknown, TooLateToChange
from scheduler.scheduled.firing import templates_only
from scheduler.scheduled.handing import KIND, HandOver, Place, occurrence
from scheduler.scheduled.plans import Due, Plan
from scheduler.scheduled.repository import Scheduled
from scheduler.scheduled.schemas import ResumeIn, ScheduledView, SchedulePatch, content_of, stored_content

WAITING: Final = ("scheduled", "held")
Slot: TypeAlias = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Held:
    """A scheduled message under its lock, and the conversation under its own, in this transaction."""

    row: Scheduled
    place: Place
    now: datetime


class Changes:
    def __init__(self, database: Database, hand_over: HandOver, deliveries: Deliveries) -> None:
        self._database = database
        self._hand_over = hand_over
        self._deliveries = deliveries

    async def edit(
        self, caller: Principal, scheduled_id: UUID, patch: SchedulePatch, *, version: int | None
    ) -> ScheduledView:
        """Raises ``ScheduledUnknown``, ``NotTheAuthor``, ``TooLateToChange``, ``VersionChanged``, and for new content
        what sending it raises."""

        async def work(unit: UnitOfWork, held: Held) -> str:
            row = held.row
            self._expect(row, *WAITING)
            _same(row, version)
            await self._rewrite(unit, caller, held, patch)
            if patch.when is not None:
                plan = patch.when.plan()
                self._plan_anew(row, plan, first_time(plan, held.place.zone, held.now))
            if row.state == "scheduled":
                row.reason = None if patch.when is not None else row.reason
                row.timer_number += patch.when is None  # its timer was taken away to decide this
                await self._hand_over.set_timer(unit, caller.workspace_id, row)
            return "edited" if patch.when is None else "rescheduled"

        return await self._change(caller, scheduled_id, work, fields=sorted(patch.model_fields_set))

    async def cancel(self, caller: Principal, scheduled_id: UUID, *, version: int | None = None) -> ScheduledView:
        """Also one that is due, while nothing of it has left. Raises as ``edit``."""

        async def work(unit: UnitOfWork, held: Held) -> str:
            row = held.row
            self._expect(row, *WAITING, "due")
            _same(row, version)
            await self.withdraw(unit, caller.workspace_id, held)
            return "cancelled"

        return await self._change(caller, scheduled_id, work)

    async def withdraw(self, unit: UnitOfWork, workspace_id: UUID, held: Held) -> None:
        """Cancel what waits or is queued. Raises ``TooLateToChange``."""
        row = held.row
        if row.state == "due":
            withdrawn = row.message_id is not None and await self._deliveries.withdraw(
                unit, workspace_id, row.conversation_id, row.message_id
            )
            if not withdrawn:
                raise TooLateToChange.of(row, "It is on its way already.")
        elif row.recurring and row.message_id is not None:
            # An occurrence that has not left belongs to what is cancelled; one that has is history.
            await self._deliveries.withdraw(unit, workspace_id, row.conversation_id, row.message_id)
        row.become("cancelled", None, held.now)

    async def send_now(self, caller: Principal, scheduled_id: UUID, *, version: int | None = None) -> ScheduledView:
        """A person answers for it: only what no composer would take is refused. Raises also ``ComposerRefused``."""

        async def work(unit: UnitOfWork, held: Held) -> str:
            row, place = held.row, held.place
            self._expect(row, *WAITING)
            _same(row, version)
            fallback = await self._needs_fallback(unit, held)
            message = await self._hand_over.queue(unit, row, place, held.now, fallback=fallback, by=caller)
            row.lateness_ms = None
            self._hand_over.handed(row, message, held.now, fallback=fallback)
            await self._hand_over.conclude(unit, row, place, Outcome("due"), held.now, by_hand=True)
            return "sent_now"

        return await self._change(caller, scheduled_id, work)

    async def resume(
        self, caller: Principal, scheduled_id: UUID, body: ResumeIn, *, version: int | None = None
    ) -> ScheduledView:
        """Let a held one go on. What the customer has written until now is known. Raises also ``ComposerRefused``."""

        async def work(unit: UnitOfWork, held: Held) -> str:
            self._expect(held.row, "held")
            _same(held.row, version)
            plan = None if body.when is None else body.when.plan()
            slot = None
            if plan is None and held.row.reason == "blocked":
                slot = await free_slot(unit, caller.workspace_id, held.row.contact_id)
            await self.go_on(unit, caller, held, plan, slot)
            return "resumed"

        return await self._change(caller, scheduled_id, work)

    async def go_on(
        self, unit: UnitOfWork, caller: Principal, held: Held, plan: Plan | None, slot: Slot | None = None
    ) -> None:
        """``slot``: gives a time to what is due within ``APART`` or overdue, where several go on for one contact.

        Raises ``ComposerRefused``, ``TooLateToChange``.
        """
        row, place = held.row, held.place
        standing = await self._hand_over.conversations.standing(unit, place.channel, place.thread)
        refuse_if_never(standing, held.now, content_of(row.content))
        if plan is not None:
            self._plan_anew(row, plan, first_time(plan, place.zone, held.now))
        else:
            due = row.due if row.by_hand else plans.again(row.due, row.asked, place.zone)
            settled = row.recurring and await occurrence_rows.is_settled(unit, caller.workspace_id, row)
            if not settled and due.at > held.now + (APART if slot is not None else timedelta(0)):
                row.move(due, by_hand=row.by_hand)
            elif row.recurring and (settled or due.at <= held.now):
                await self._to_next(unit, caller.workspace_id, held, None if settled else due)
            else:
                row.move(Due(held.now if slot is None else slot(), due.local, due.zone), by_hand=True)
        row.hold_after_number, row.anchored_at = place.thread.last_inbound_number, held.now
        row.become("scheduled", None, held.now)
        await self._hand_over.set_timer(unit, caller.workspace_id, row)

    async def _to_next(self, unit: UnitOfWork, workspace_id: UUID, held: Held, missed: Due | None) -> None:
        """The next occurrence from now on. ``missed``: the first one that came while it was held."""
        row, zone = held.row, held.place.zone
        for due in [] if missed is None else plans.passed(row.asked, zone, missed, held.now):
            row.due_at, row.local, row.zone = due.at, due.local, due.zone
            row.occurrences += 1
            skipped = occurrence(row, Outcome("skipped", "held"), local=row.local)
            await occurrence_rows.put(unit, workspace_id, row, skipped)
        following = plans.following(row.asked, zone, row.local, held.now, row.occurrences)
        if following is None:
            raise TooLateToChange.of(row, "It has no further occurrence: give it another time, or send it now.")
        row.move(following)

    # --- what they share ----------------------------------------------------------------------------------------------

    async def _change(
        self,
        caller: Principal,
        scheduled_id: UUID,
        work: Callable[[UnitOfWork, Held], Awaitable[str]],
        **detail: object,
    ) -> ScheduledView:
        caller.require("scheduled.write")

        async def run(unit: UnitOfWork) -> ScheduledView:
            held = await self.hold(unit, caller, scheduled_id)
            action = await work(unit, held)
            await self._hand_over.tell(unit, caller.workspace_id, held.row, action, caller, detail)
            await self._hand_over.ties.settle(unit, caller.workspace_id, held.place.thread)
            return rows.view(held.row)

        return await self._database.retrying(run)

    async def hold(self, unit: UnitOfWork, caller: Principal, scheduled_id: UUID) -> Held:
        """Timer, conversation, row, in this order. The timer is gone then: set one again for what goes on waiting."""
        seen = await rows.find(unit, caller.workspace_id, scheduled_id)
        if seen is None:
            raise ScheduledUnknown("there is no such scheduled message")
        await cancel_timer(unit, caller.workspace_id, KIND, seen.timer_key)
        try:
            thread = await self._hand_over.conversations.access(unit, caller, seen.conversation_id, lock=True)
        except ConversationUnknown:
            now = await rows.find(unit, caller.workspace_id, scheduled_id)
            if now is not None and now.conversation_id != seen.conversation_id:
                raise Contended("the conversation became part of another one") from None
            raise
        (row,) = await rows.lock(unit, caller.workspace_id, [scheduled_id])
        if row.conversation_id != thread.id:
            raise Contended("the conversation became part of another one")
        if row.timer_number != seen.timer_number:
            # Another timer stands now, and timers come before conversations: from the beginning.
            raise Contended("it was moved at the same moment")
        if row.author_id != caller.agent_id and not caller.may("scheduled.supervise"):
            raise NotTheAuthor("only its author and supervisors may change this", permission="scheduled.supervise")
        channel = await self._hand_over.directory.get(caller.workspace_id, thread.channel_id)
        times = await find_times(unit, caller.workspace_id)
        zone = await rows.own_zone(unit, caller.workspace_id, thread.contact_id) or times.time_zone
        return Held(row, Place(thread, channel, times, zone), await unit.time())

    @staticmethod
    def _plan_anew(row: Scheduled, plan: Plan, due: Due) -> None:
        row.plan = plans.stored(plan)
        row.plan_number += 1
        row.move(due)

    async def _rewrite(self, unit: UnitOfWork, caller: Principal, held: Held, patch: SchedulePatch) -> None:
        row, given, place = held.row, patch.model_fields_set, held.place
        if given & {"parts", "reply_to_id", "purpose"}:
            before = content_of(row.content)
            order = SendIn(
                parts=patch.parts or before.parts,
                reply_to_id=patch.reply_to_id if "reply_to_id" in given else before.reply_to_id,
                purpose=patch.purpose or before.purpose,
            )
            # Files that a colleague put there are in it already; only new ones have to be the caller's to see.
            asking = caller if patch.parts else None
            composed = await self._hand_over.drafts.compose(unit, asking, place.channel, place.thread.id, order)
            row.content, row.preview = stored_content(order), outgoing_preview(composed.parts)
        if "fallback" in given:
            if patch.fallback is not None:
                await self._hand_over.drafts.check_fallback(
                    unit, caller, place.channel, place.thread.id, patch.fallback
                )
            row.fallback = None if patch.fallback is None else patch.fallback.model_dump(mode="json")
        if patch.hold_on_reply and not row.hold_on_reply:
            row.hold_after_number, row.anchored_at = place.thread.last_inbound_number, held.now
        for name in ("hold_on_reply", "quiet_hours", "business_hours", "when_closed"):
            value = getattr(patch, name)
            if value is not None:
                setattr(row, name, value)
        if patch.catch_up is not None:
            row.catch_up, row.late_after = patch.catch_up.policy, patch.catch_up.late_after

    async def _needs_fallback(self, unit: UnitOfWork, held: Held) -> bool:
        """Raises ``ComposerRefused`` when even that would not go."""
        order, place = content_of(held.row.content), held.place
        standing = await self._hand_over.conversations.standing(unit, place.channel, place.thread)
        refusal = standing.refusal(
            held.now, purpose=order.purpose, template=templates_only(order), marketing=order.purpose == "marketing"
        )
        if refusal is None:
            return False
        if refusal.reason == "window_closed" and held.row.fallback is not None and standing.templates_outside:
            return True
        raise ComposerRefused(refusal.detail, reason=refusal.reason, window_expires_at=refusal.window_expires_at)

    @staticmethod
    def _expect(row: Scheduled, *states: str) -> None:
        if row.state not in states:
            raise TooLateToChange.of(row)


def first_time(plan: Plan, zone: str, now: datetime) -> Due:
    """Raises ``Invalid`` for a time that has passed, or is too far ahead."""
    due = plans.first(plan, zone, now)
    if due is None:
        raise Invalid.at("/body/when/until", "it ends before it begins")
    if due.at < now - plans.FORGIVEN:
        raise Invalid.at("/body/when", "this time has passed", "in_the_past")
    if due.at > now + plans.FARTHEST:
        raise Invalid.at("/body/when", "this is too far ahead", "too_far")
    return due


def _same(row: Scheduled, version: int | None) -> None:
    if version is not None and version != row.version:
        raise VersionChanged("the scheduled message has changed since you read it", version=row.version)
