"""What happens when the time of scheduled messages has come, and when the zone by which it was reckoned has changed.

Order of locks: the timers, which the clock holds; conversations by id; rows by id. What a row wants is asked again
under its lock: a cancel, an edit or a reply that committed first is seen, and one that comes later finds it due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from inbox.agents.workspaces import WorkspaceTimes, find_times
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.errors import InboxError, Unavailable
from inbox.kernel.ids import new_id
from inbox.kernel.timers import Timer, set_timer
from inbox.messages.schemas import SendIn, TemplateIn
from inbox.messages.sending import ComposerRefused
from scheduler.scheduled import plans
from scheduler.scheduled import repository as rows
from scheduler.scheduled.deciding import HELD, Facts, Go, Ignore, Later, Outcome, Stop, decide, too_late
from scheduler.scheduled.handing import HandOver, Place
from scheduler.scheduled.repository import Scheduled
from scheduler.scheduled.schemas import content_of

REZONE: Final = "scheduled.rezone"
"""Kind of the timers that reckon anew what waits by a zone that has changed; at once, but in their own transaction."""
AT_ONCE: Final = 200


class Firing:
    """``fire`` and ``rezone`` are handlers of timers."""

    def __init__(self, hand_over: HandOver) -> None:
        self._hand_over = hand_over

    async def fire(self, unit: UnitOfWork, timers: list[Timer]) -> None:
        for workspace_id in sorted({timer.workspace_id for timer in timers}):
            numbers: dict[UUID, set[int]] = {}
            for timer in timers:
                if timer.workspace_id == workspace_id:
                    scheduled_id, _, number = timer.key.partition("/")
                    numbers.setdefault(UUID(scheduled_id), set()).add(int(number))
            threads, found = await lock(unit, workspace_id, list(numbers))
            times = await find_times(unit, workspace_id)
            for row in sorted(found, key=lambda row: (row.due_at, row.id)):
                place = await self._place(unit, workspace_id, threads[row.conversation_id], times)
                await self._one(unit, workspace_id, row, place, meant=row.timer_number in numbers[row.id])

    async def _place(self, unit: UnitOfWork, workspace_id: UUID, thread: Thread, times: WorkspaceTimes) -> Place:
        channel = await self._hand_over.directory.get(workspace_id, thread.channel_id)
        zone = await rows.own_zone(unit, workspace_id, thread.contact_id) or times.time_zone
        return Place(thread, channel, times, zone)

    async def _one(self, unit: UnitOfWork, workspace_id: UUID, row: Scheduled, place: Place, *, meant: bool) -> None:
        due = row.due if row.by_hand else plans.again(row.due, row.asked, place.zone)
        facts = await self._facts(unit, row, place, due.at, meant=meant)
        verdict = decide(facts)
        if isinstance(verdict, Ignore):
            return
        # Its time may have become an earlier one while it waited for the later: nobody was late before that.
        since = max(due.at, row.due_at)
        # As the zone that counts now has it.
        row.due_at, row.zone = due.at, due.zone
        match verdict:
            case Later(until=until, reason=reason):
                row.move(replace(due, at=until), by_hand=reason is not None)
                row.reason = reason
                await self._hand_over.set_timer(unit, workspace_id, row)
                detail = {"due_at": row.due_at.isoformat(), "reason": reason or "time_zone"}
                await self._hand_over.tell(unit, workspace_id, row, "postponed", None, detail)
                return
            case Stop(state=state, reason=reason):
                await self._stop(unit, workspace_id, row, place, Outcome(state, reason), facts.now)
            case Go(fallback=fallback):
                await self._go(unit, workspace_id, row, place, facts.now, since, fallback=fallback)
        await self._hand_over.ties.settle(unit, workspace_id, place.thread)

    async def _facts(self, unit: UnitOfWork, row: Scheduled, place: Place, due_at: datetime, *, meant: bool) -> Facts:
        order, thread = content_of(row.content), place.thread
        return Facts(
            now=await unit.time(),
            state=row.state,
            meant=meant,
            due_at=due_at,
            catch_up=row.catch_up,
            late_after=timedelta(seconds=row.late_after),
            hold_after_number=row.hold_after_number if row.hold_on_reply else None,
            last_inbound_number=thread.last_inbound_number,
            conversation_status=thread.status,
            when_closed=row.when_closed,
            quiet=place.times.quiet(place.zone) if row.quiet_hours else None,
            business=place.times.business if row.business_hours else None,
            standing=await self._hand_over.conversations.standing(unit, place.channel, thread),
            purpose=order.purpose,
            template=templates_only(order),
            fallback=row.fallback is not None,
        )

    async def _go(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        row: Scheduled,
        place: Place,
        now: datetime,
        since: datetime,
        *,
        fallback: bool,
    ) -> None:
        try:
            message = await self._hand_over.queue(unit, row, place, now, fallback=fallback, by=None)
        except Unavailable:
            raise  # nobody's fault: the clock tries it again
        except InboxError as error:
            await self._stop(unit, workspace_id, row, place, refusal(error), now)
            return
        self._hand_over.measure(unit, row, now, since)
        self._hand_over.handed(row, message, now, fallback=fallback)
        detail = {"message_id": str(message.id), "lateness_ms": row.lateness_ms, "fallback": fallback}
        await self._hand_over.conclude(unit, row, place, Outcome("due"), now)
        await self._hand_over.tell(unit, workspace_id, row, "handed_over", None, detail)

    async def _stop(
        self, unit: UnitOfWork, workspace_id: UUID, row: Scheduled, place: Place, outcome: Outcome, now: datetime
    ) -> None:
        await self._hand_over.conclude(unit, row, place, outcome, now)
        await self._hand_over.tell(unit, workspace_id, row, outcome.state, None, {"reason": outcome.reason})

    # --- zones --------------------------------------------------------------------------------------------------------

    async def rezone(self, unit: UnitOfWork, timers: list[Timer]) -> None:
        for timer in timers:
            await self._rezone(unit, timer)

    async def _rezone(self, unit: UnitOfWork, timer: Timer) -> None:
        """Also earlier, if need be: then the timer that stands would be late, and its number is no longer meant.

        What is too late by the zone that counts now was missed, and its policy decides; what is sent nevertheless is
        due from now on.
        """
        given = timer.payload.get("contact_id")
        contact_id = None if given is None else UUID(str(given))
        ids = await rows.in_wrong_zone(unit, timer.workspace_id, contact_id, AT_ONCE)
        if len(ids) == AT_ONCE:
            again = await unit.time()
            await set_timer(unit, timer.workspace_id, REZONE, str(new_id()), again, timer.payload)
        threads, found = await lock(unit, timer.workspace_id, ids)
        times, now = await find_times(unit, timer.workspace_id), await unit.time()
        for row in found:
            if row.state != "scheduled" or row.by_hand:
                continue
            place = await self._place(unit, timer.workspace_id, threads[row.conversation_id], times)
            due = plans.again(row.due, row.asked, place.zone)
            if due == row.due:
                continue
            late = too_late(now, due.at, timedelta(seconds=row.late_after), row.catch_up)
            if late is not None:
                row.due_at, row.zone = due.at, due.zone
                outcome = Outcome(late.state, late.reason)
                await self._stop(unit, timer.workspace_id, row, place, outcome, now)
                await self._hand_over.ties.settle(unit, timer.workspace_id, place.thread)
                continue
            row.move(replace(due, at=max(due.at, now)))
            await self._hand_over.set_timer(unit, timer.workspace_id, row)
            detail = {"due_at": row.due_at.isoformat(), "reason": "time_zone"}
            await self._hand_over.tell(unit, timer.workspace_id, row, "postponed", None, detail)


async def lock(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> tuple[dict[UUID, Thread], list[Scheduled]]:
    """The rows and, before them, their conversations. Raises ``Contended`` when a row went to another one meanwhile."""
    places = await rows.conversations_of(unit, workspace_id, ids)
    threads = {thread.id: thread for thread in await thread_rows.lock_many(unit, workspace_id, [], places)}
    found = await rows.lock(unit, workspace_id, ids)
    if any(row.conversation_id not in threads for row in found):
        raise Contended("the conversation became part of another one")
    return threads, found


def refusal(error: InboxError) -> Outcome:
    """What it means for a scheduled message that it could not be queued."""
    if isinstance(error, ComposerRefused):
        reason = str(error.facts.get("reason"))
        return Outcome("held", HELD.get(reason, reason))
    return Outcome("failed", str(error.facts.get("reason") or error.code))


def templates_only(order: SendIn) -> bool:
    return all(isinstance(part, TemplateIn) for part in order.parts)
