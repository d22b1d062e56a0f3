"""Handing a scheduled message over for sending, and writing down what became of it.

Invariant: the message is queued in the transaction that says so on the scheduled message, under the lock of its
conversation. So it is handed over once, whoever else wants it, and nothing says it was when it was not (P6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.agents.workspaces import WorkspaceTimes
from inbox.audit import service as audit
from inbox.connections.directory import Channel, Directory
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations
from inbox.kernel.database import UnitOfWork
from inbox.kernel.timers import set_timer
from inbox.messages.outgoing import UNCONDITIONAL, Author, SendConditions
from inbox.messages.schemas import MessageView, OriginView, SendIn, TemplateIn
from inbox.messages.sending import Sending
from scheduler.scheduled import events, occurrence_rows, plans
from scheduler.scheduled import repository as rows
from scheduler.scheduled.deciding import Outcome
from scheduler.scheduled.drafting import Drafts
from scheduler.scheduled.repository import Scheduled
from scheduler.scheduled.schemas import OccurrenceView, content_of
from scheduler.ties import Ties

KIND: Final = "scheduled.message"
"""Of the timers; their keys are ``Scheduled.timer_key``."""
SUBJECT: Final = "scheduled_message"


@dataclass(frozen=True, slots=True)
class Place:
    """A locked conversation with all that reckoning and sending there need. ``zone``: that counts for the contact."""

    thread: Thread
    channel: Channel
    times: WorkspaceTimes
    zone: str


class HandOver:
    def __init__(
        self,
        sending: Sending,
        conversations: Conversations,
        directory: Directory,
        drafts: Drafts,
        ties: Ties,
        observe: Callable[[float], None],
    ) -> None:
        """``observe`` gets the lateness of each hand-over in seconds, after the commit."""
        self._sending = sending
        self.conversations = conversations
        self.directory = directory
        self.drafts = drafts
        self.ties = ties
        self._observe = observe

    async def queue(
        self, unit: UnitOfWork, row: Scheduled, place: Place, now: datetime, *, fallback: bool, by: Principal | None
    ) -> MessageView:
        """``by``: a person who sends it now, and answers for it; otherwise the gate asks the conditions again.

        Raises what ``Sending.queue`` raises; then nothing was queued.
        """
        order = content_of(row.content)
        if fallback:
            order = SendIn(parts=[TemplateIn.model_validate(row.fallback)], purpose=order.purpose)
        author = Author(place.channel.workspace_id, "agent", row.author_id, row.author_name)
        return await self._sending.queue(
            unit,
            author,
            place.thread,
            place.channel,
            order,
            origin=OriginView("scheduled", row.id),
            conditions=UNCONDITIONAL if by is not None else conditions(row, place),
            takes_over=by is not None,
            at=now,
        )

    @staticmethod
    def handed(row: Scheduled, message: MessageView, now: datetime, *, fallback: bool) -> None:
        """Note on the row that the message is on its way."""
        row.message_id, row.fell_back, row.handed_at = message.id, fallback, now

    def measure(self, unit: UnitOfWork, row: Scheduled, now: datetime, since: datetime) -> None:
        """``since``: its time, or when it became its time."""
        late = max(timedelta(0), now - since)
        row.lateness_ms = round(late.total_seconds() * 1000)
        unit.after_commit(partial(self._observe, late.total_seconds()))

    async def conclude(
        self, unit: UnitOfWork, row: Scheduled, place: Place, outcome: Outcome, now: datetime, *, by_hand: bool = False
    ) -> None:
        """Its time has come and this is what became of it: write the occurrence down and look for the next one.

        ``by_hand``: sent in between, which leaves the next occurrence where it is.
        """
        workspace_id = place.channel.workspace_id
        row.occurrences += 1
        if not row.recurring:
            row.become(outcome.state, outcome.reason, now)
            return
        await occurrence_rows.put(
            unit, workspace_id, row, occurrence(row, outcome, local=None if by_hand else row.local)
        )
        if outcome.state == "held":
            row.become("held", outcome.reason, now)
            return
        if by_hand and row.due_at > now:
            row.move(row.due, by_hand=row.by_hand)
            row.become("scheduled", row.reason if row.state == "scheduled" else None, now)
            await self.set_timer(unit, workspace_id, row)
            return
        await self.go_on(unit, row, place, outcome, now)

    async def go_on(self, unit: UnitOfWork, row: Scheduled, place: Place, outcome: Outcome, now: datetime) -> None:
        """To the next occurrence; or, after the last one, to what became of that."""
        following = plans.following(row.asked, place.zone, row.local, now, row.occurrences)
        if following is None:
            row.become(outcome.state, outcome.reason, now)
            return
        row.move(following)
        row.become("scheduled", None, now)
        await self.set_timer(unit, place.channel.workspace_id, row)

    async def set_timer(self, unit: UnitOfWork, workspace_id: UUID, row: Scheduled) -> None:
        """Under a name that is new, so nobody can hold it; and its files are kept until then."""
        await set_timer(unit, workspace_id, KIND, row.timer_key, row.due_at)
        fallback = None if row.fallback is None else TemplateIn.model_validate(row.fallback)
        await self.drafts.keep(unit, workspace_id, content_of(row.content), fallback, row.due_at)

    async def tell(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        row: Scheduled,
        action: str,
        actor: Principal | None,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        """Write the row, and tell the log and the audit trail."""
        await rows.save(unit, workspace_id, row)
        unit.record(events.updated(workspace_id, rows.view(row)))
        await audit.record(unit, workspace_id, actor, f"scheduled.{action}", SUBJECT, row.id, detail)


def conditions(row: Scheduled, place: Place) -> SendConditions:
    """What the last gate asks again when it leaves."""
    deadline = None if row.catch_up == "send" else row.due_at + timedelta(seconds=row.late_after)
    return SendConditions(
        hold_after_number=row.hold_after_number if row.hold_on_reply else None,
        stop_when_closed=row.when_closed != "send",
        quiet=place.times.quiet(place.zone) if row.quiet_hours else None,
        expires_at=deadline,
    )


def occurrence(row: Scheduled, outcome: Outcome, *, local: str | None) -> OccurrenceView:
    handed = outcome.state == "due"
    return OccurrenceView(
        number=row.occurrences,
        local=local,
        due_at=row.due_at,
        state=outcome.state,
        reason=outcome.reason,
        uncertain=outcome.uncertain,
        message_id=row.message_id if handed else None,
        fell_back=row.fell_back and handed,
        handed_at=row.handed_at if handed else None,
        lateness_ms=row.lateness_ms if handed else None,
    )
