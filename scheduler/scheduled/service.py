"""Scheduling a message, and finding what is scheduled.

Invariant: with a client token, however often the same is asked, there is one scheduled message. It stands in the
transaction that sets its timer, under the lock of its conversation and after a look at whether its contact is blocked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from contacts import repository as contact_rows
from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.audit import repository as audit_rows
from inbox.audit import service as audit
from inbox.conversations.repository import Thread
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.encoding import encode
from inbox.kernel.errors import InboxError
from inbox.kernel.eventlog import EventLog
from inbox.kernel.ids import new_id
from inbox.kernel.pages import encode_cursor
from inbox.messages.preview import outgoing_preview
from inbox.messages.sending import TokenReused
from scheduler.scheduled import events, occurrence_rows, plans
from scheduler.scheduled import repository as rows
from scheduler.scheduled.changing import first_time
from scheduler.scheduled.drafting import refuse_if_never
from scheduler.scheduled.errors import ScheduledUnknown
from scheduler.scheduled.handing import SUBJECT, HandOver
from scheduler.scheduled.plans import Due
from scheduler.scheduled.repository import Scheduled
from scheduler.scheduled.schemas import (
    HistoryView,
    ScheduledDetail,
    ScheduledPage,
    ScheduledQuery,
    ScheduledView,
    ScheduleIn,
    content_of,
    stored_content,
)

MOST_HISTORY: Final = 200


@dataclass(frozen=True, slots=True)
class Created:
    """``replayed``: the token was seen before, and nothing new was scheduled."""

    scheduled_message: ScheduledView
    replayed: bool


class Scheduling:
    def __init__(self, database: Database, event_log: EventLog, hand_over: HandOver) -> None:
        self._database = database
        self._event_log = event_log
        self._hand_over = hand_over

    async def create(self, caller: Principal, conversation_id: UUID, order: ScheduleIn) -> Created:
        """Raises ``ConversationUnknown``, ``ComposerRefused``, ``ContentTooLarge``, ``Invalid``, ``TokenReused``."""
        caller.require("scheduled.write")
        fingerprint = _fingerprint(conversation_id, order)

        async def work(unit: UnitOfWork) -> Created:
            thread = await self._hand_over.conversations.access(unit, caller, conversation_id, lock=True)
            if order.client_token is not None:
                earlier = await rows.find_by_token(unit, caller.workspace_id, caller.agent_id, order.client_token)
                if earlier is not None:
                    return _replay(*earlier, fingerprint)
            row = await self._draft(unit, caller, thread, order)
            await rows.insert(unit, caller.workspace_id, row, fingerprint)
            await self._hand_over.set_timer(unit, caller.workspace_id, row)
            shown = rows.view(row)
            unit.record(events.created(caller.workspace_id, shown))
            detail = {"due_at": row.due_at.isoformat(), "conversation_id": str(conversation_id)}
            await audit.record(unit, caller.workspace_id, caller, "scheduled.created", SUBJECT, row.id, detail)
            await self._hand_over.ties.settle(unit, caller.workspace_id, thread)
            return Created(shown, replayed=False)

        return await self._database.retrying(work)

    async def _draft(self, unit: UnitOfWork, caller: Principal, thread: Thread, given: ScheduleIn) -> Scheduled:
        channel = await self._hand_over.directory.get(caller.workspace_id, thread.channel_id)
        now = await unit.time()
        order, drafts = given.content(), self._hand_over.drafts
        refuse_if_never(await self._hand_over.conversations.standing(unit, channel, thread), now, order)
        composed = await drafts.compose(unit, caller, channel, thread.id, order)
        if given.fallback is not None:
            await drafts.check_fallback(unit, caller, channel, thread.id, given.fallback)
        zone = await rows.contact_zone(unit, caller.workspace_id, thread.contact_id)
        plan = given.when.plan()
        return _row(caller, thread, given, plan, first_time(plan, zone, now), outgoing_preview(composed.parts), now)

    # --- finding ------------------------------------------------------------------------------------------------------

    async def page(self, caller: Principal, query: ScheduledQuery) -> ScheduledPage:
        """The caller's own; supervisors see everyone's."""
        caller.require("conversations.read")
        conditions: list[tuple[str, object]] = []
        if not caller.may("scheduled.supervise"):
            conditions.append(("s.author_id = {}", caller.agent_id))
        async with self._database.snapshot() as unit:
            return await self._page(unit, caller, query, conditions)

    async def of_conversation(self, caller: Principal, conversation_id: UUID, query: ScheduledQuery) -> ScheduledPage:
        """Everybody's there. Raises ``ConversationUnknown``."""
        caller.require("conversations.read")
        async with self._database.snapshot() as unit:
            await self._hand_over.conversations.access(unit, caller, conversation_id)
            return await self._page(unit, caller, query, [("s.conversation_id = {}", conversation_id)])

    async def of_contact(self, caller: Principal, contact_id: UUID, query: ScheduledQuery) -> ScheduledPage:
        """In all conversations of the contact. Raises ``ContactUnknown``."""
        caller.require("conversations.read")
        async with self._database.snapshot() as unit:
            contact = await contact_rows.find(unit, caller.workspace_id, contact_id)
            if contact is None:
                raise ContactUnknown("there is no such contact")
            return await self._page(unit, caller, query, [("v.contact_id = {}", contact.id)])

    async def _page(
        self, unit: UnitOfWork, caller: Principal, query: ScheduledQuery, conditions: Sequence[tuple[str, object]]
    ) -> ScheduledPage:
        asked: list[tuple[str, object]] = [
            ("s.state = ANY({})", query.state or None),
            ("v.contact_id = {}", query.contact_id),
            ("v.channel_id = {}", query.channel_id),
            ("s.author_id = {}", query.author_id),
            ("s.due_at >= {}", query.due_from),
            ("s.due_at < {}", query.due_before),
        ]
        if caller.confined:
            asked.append(("v.bot_id = {} AND NOT v.run_paused", caller.agent_id))
        wanted = [*conditions, *(one for one in asked if one[1] is not None)]
        state = await self._event_log.state(unit.connection, caller.workspace_id)
        found = await rows.page(unit, caller.workspace_id, conditions=wanted, after=query.last(), limit=query.limit + 1)
        page = found[: query.limit]
        following = None
        if len(found) > query.limit:
            following = encode_cursor(page[-1].due_at, str(page[-1].id))
        return ScheduledPage(state.epoch, state.head, [rows.view(row) for row in page], following)

    async def read(self, caller: Principal, scheduled_id: UUID) -> ScheduledDetail:
        """With the content as the thread would show it. Raises ``ScheduledUnknown``."""
        caller.require("conversations.read")
        async with self._database.snapshot() as unit:
            state = await self._event_log.state(unit.connection, caller.workspace_id)
            row = await self._access(unit, caller, scheduled_id)
            channel = await self._hand_over.directory.get(caller.workspace_id, row.channel_id)
            parts, problem = None, None
            try:
                order = content_of(row.content)
                composed = await self._hand_over.drafts.compose(unit, None, channel, row.conversation_id, order)
                parts = list(composed.shown)
            except InboxError as error:
                problem = error.detail
        return ScheduledDetail(state.epoch, state.head, rows.view(row), parts, problem)

    async def history(self, caller: Principal, scheduled_id: UUID) -> HistoryView:
        """Who did what to it, and what came of its occurrences. Raises ``ScheduledUnknown``."""
        caller.require("conversations.read")
        async with self._database.snapshot() as unit:
            row = await self._access(unit, caller, scheduled_id)
            entries = await audit_rows.page(
                unit,
                caller.workspace_id,
                subject_kind=SUBJECT,
                subject_id=row.id,
                actor_id=None,
                after=None,
                limit=MOST_HISTORY,
            )
            occurrences = await occurrence_rows.last(unit, caller.workspace_id, row.id, MOST_HISTORY)
        return HistoryView(entries, occurrences)

    async def _access(self, unit: UnitOfWork, caller: Principal, scheduled_id: UUID) -> Scheduled:
        """Whoever may see the conversation may see what is scheduled there."""
        row = await rows.find(unit, caller.workspace_id, scheduled_id)
        if row is None:
            raise ScheduledUnknown("there is no such scheduled message")
        await self._hand_over.conversations.access(unit, caller, row.conversation_id)
        return row


def _row(
    caller: Principal, thread: Thread, given: ScheduleIn, plan: plans.Plan, due: Due, preview: str, now: datetime
) -> Scheduled:
    return Scheduled(
        id=new_id(),
        conversation_id=thread.id,
        author_id=caller.agent_id,
        author_name=caller.name,
        content=stored_content(given.content()),
        fallback=None if given.fallback is None else given.fallback.model_dump(mode="json"),
        preview=preview,
        plan=plans.stored(plan),
        plan_number=1,
        zone=due.zone,
        local=due.local,
        due_at=due.at,
        by_hand=False,
        timer_number=1,
        hold_on_reply=given.hold_on_reply,
        hold_after_number=thread.last_inbound_number,
        anchored_at=now,
        quiet_hours=given.quiet_hours,
        business_hours=given.business_hours,
        when_closed=given.when_closed,
        catch_up=given.catch_up.policy,
        late_after=given.catch_up.late_after,
        state="scheduled",
        reason=None,
        state_at=now,
        uncertain=False,
        occurrences=0,
        message_id=None,
        fell_back=False,
        handed_at=None,
        lateness_ms=None,
        client_token=given.client_token,
        version=1,
        created_at=now,
        updated_at=None,
        contact_id=thread.contact_id,
        channel_id=thread.channel_id,
    )


def _fingerprint(conversation_id: UUID, order: ScheduleIn) -> bytes:
    body = order.model_dump(mode="json", exclude={"client_token"})
    return hashlib.sha256(conversation_id.bytes + encode(body)).digest()


def _replay(row: Scheduled, known: bytes, fingerprint: bytes) -> Created:
    if known != fingerprint:
        raise TokenReused("schedule a new message with a new token; to repeat one, repeat it exactly")
    return Created(rows.view(row), replayed=True)
