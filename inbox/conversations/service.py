"""Opening threads and changing their state. Whoever writes to a conversation holds its row lock until the commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from contacts import reach_rows
from contacts import repository as contact_rows
from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.connections.directory import Channel, Directory
from inbox.conversations import events
from inbox.conversations import repository as rows
from inbox.conversations.composer import Standing, composer_view
from inbox.conversations.repository import Thread
from inbox.conversations.schemas import (
    ConversationDetail,
    ConversationPage,
    ConversationPatch,
    ConversationQuery,
    ConversationView,
    ReadOut,
)
from inbox.kernel.database import Contended, Database, UnitOfWork
from inbox.kernel.errors import Fault, Invalid, NotFound
from inbox.kernel.eventlog import EventLog
from inbox.kernel.ids import new_id
from inbox.kernel.pages import decode_cursor, encode_cursor
from inbox.kernel.versions import VersionChanged

PREVIEW_LENGTH = 120


class ConversationUnknown(NotFound):
    code = "conversation_not_found"


class Conversations:
    def __init__(self, database: Database, event_log: EventLog, directory: Directory) -> None:
        self._database = database
        self._event_log = event_log
        self._directory = directory

    async def view(self, workspace_id: UUID, thread: Thread) -> ConversationView:
        channel = await self._directory.get(workspace_id, thread.channel_id)
        return rows.view(thread, channel.window_hours)

    async def standing(self, unit: UnitOfWork, channel: Channel, thread: Thread) -> Standing:
        """What decides whether this conversation can take a message, as it is in this transaction."""
        return Standing(
            *await self._directory.state_and_health(unit.connection, channel.workspace_id, channel.id),
            await reach_rows.reach(unit, channel.workspace_id, thread.identity_id),
            channel.capabilities.window,
            thread.window_opened_at,
            thread.window_closed_at,
            channel.capabilities.templates,
        )

    # --- inside the transactions of others ----------------------------------------------------------------------------

    async def open_for(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        wanted: Iterable[tuple[UUID, UUID, UUID]],
        ids: Collection[UUID] = (),
        only_existing: Collection[tuple[UUID, UUID]] = (),
    ) -> list[Thread]:
        """Lock the conversations of these (channel, identity, contact), making those that are missing; and, where they
        exist, those of these ids and of these (channel, identity). All in the order of their ids.

        Raises ``Contended`` when another transaction made one meanwhile.
        """
        contact_of = {(channel_id, identity_id): contact_id for channel_id, identity_id, contact_id in wanted}
        keys = list({**contact_of, **dict.fromkeys(only_existing)})
        threads = await rows.lock_many(unit, workspace_id, keys, list(ids)) if keys or ids else []
        there = {(thread.channel_id, thread.identity_id) for thread in threads}
        new = sorted(
            (channel_id, identity_id, contact_id)
            for (channel_id, identity_id), contact_id in contact_of.items()
            if (channel_id, identity_id) not in there
        )
        if new:
            made = await rows.insert_many(unit, workspace_id, [(new_id(), *key) for key in new])
            if len(made) != len(new):
                raise Contended("a conversation was opened by another transaction")
            for thread in made:
                thread.fresh = True
            threads += made
        return threads

    async def save(self, unit: UnitOfWork, workspace_id: UUID, threads: Sequence[Thread]) -> None:
        """Write the changed threads back. Their events are the business of whoever changed them."""
        changed = [thread for thread in threads if thread.changed]
        if changed:
            await rows.write_back(unit, workspace_id, changed)

    async def set_automated(self, unit: UnitOfWork, workspace_id: UUID, thread: Thread, automated: bool) -> None:
        """Whether something scheduled or running is tied to this conversation; says so in the log when that is new."""
        if thread.automated != automated:
            thread.automated = automated
            touch(thread, datetime.now(UTC))
            await self.save(unit, workspace_id, [thread])
            unit.record(events.updated(workspace_id, await self.view(workspace_id, thread)))

    async def retell(
        self, unit: UnitOfWork, workspace_id: UUID, thread: Thread, number: int, preview: str, at: datetime
    ) -> None:
        """Message ``number`` now says something else, or nothing: lists show it, and the log says so."""
        if retell(thread, number, preview, at):
            await self.save(unit, workspace_id, [thread])
            unit.record(events.updated(workspace_id, await self.view(workspace_id, thread)))

    async def record_created(self, unit: UnitOfWork, workspace_id: UUID, thread: Thread) -> None:
        if thread.fresh:
            thread.fresh = False
            unit.record(events.created(workspace_id, await self.view(workspace_id, thread)))

    # --- what agents do -----------------------------------------------------------------------------------------------

    async def access(self, unit: UnitOfWork, caller: Principal, conversation_id: UUID, *, lock: bool = False) -> Thread:
        """The conversation, if the caller may see it. Raises ``ConversationUnknown``."""
        if lock:
            thread = await self.lock(unit, caller.workspace_id, conversation_id)
        else:
            found = await rows.find(unit, caller.workspace_id, conversation_id)
            if found is None:
                raise ConversationUnknown("there is no such conversation")
            thread = found
        if caller.confined and thread.holder_id != caller.agent_id:
            raise ConversationUnknown("there is no such conversation")
        return thread

    async def lock(self, unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> Thread:
        """The conversation, whoever asks: for what goes on with something that was allowed before, and for rooms that
        decide themselves. Raises ``ConversationUnknown``."""
        found = await rows.lock_many(unit, workspace_id, [], [conversation_id])
        if not found:
            raise ConversationUnknown("there is no such conversation")
        return found[0]

    async def page(self, caller: Principal, query: ConversationQuery) -> ConversationPage:
        """By their last message, newest first. Raises ``Forbidden``."""
        caller.require("conversations.read")
        workspace_id = caller.workspace_id
        after = None if query.after is None else decode_cursor(query.after, tuple[datetime, UUID])
        async with self._database.snapshot() as unit:
            state = await self._event_log.state(unit.connection, workspace_id)
            threads = await rows.page(
                unit,
                workspace_id,
                statuses=query.status,
                channel_id=query.channel_id,
                contact_id=query.contact_id,
                assignee_id=query.assignee_id,
                holder_id=caller.agent_id if caller.confined else None,
                after=after,
                limit=query.limit + 1,
            )
            page = threads[: query.limit]
            people = await contact_rows.views(unit, workspace_id, sorted({thread.contact_id for thread in page}))
            unread = await rows.unread(unit, workspace_id, caller.agent_id, [thread.id for thread in page])
        following = None
        if len(threads) > query.limit:
            following = encode_cursor(page[-1].active_at, page[-1].id)
        return ConversationPage(
            epoch=state.epoch,
            position=state.head,
            items=[await self.view(workspace_id, thread) for thread in page],
            contacts=people,
            unread={str(conversation_id): count for conversation_id, count in unread.items()},
            next=following,
        )

    async def read(self, caller: Principal, conversation_id: UUID) -> ConversationDetail:
        """Raises ``Forbidden``, ``ConversationUnknown``."""
        caller.require("conversations.read")
        async with self._database.snapshot() as unit:
            state = await self._event_log.state(unit.connection, caller.workspace_id)
            thread = await self.access(unit, caller, conversation_id)
            contact = await contact_rows.find(unit, caller.workspace_id, thread.contact_id)
            unread = await rows.unread(unit, caller.workspace_id, caller.agent_id, [thread.id])
            channel = await self._directory.get(caller.workspace_id, thread.channel_id)
            standing = await self.standing(unit, channel, thread)
        if contact is None:
            raise ContactUnknown("there is no such contact")
        return ConversationDetail(
            epoch=state.epoch,
            position=state.head,
            conversation=await self.view(caller.workspace_id, thread),
            contact=contact,
            composer=composer_view(standing, datetime.now(UTC), templates=channel.capabilities.templates is not None),
            unread=unread.get(thread.id, 0),
        )

    async def change(
        self, caller: Principal, conversation_id: UUID, patch: ConversationPatch, *, version: int | None
    ) -> ConversationView:
        """Status, assignee, priority. ``version``: refuse when the conversation has changed since."""
        caller.require("conversations.write")
        async with self._database.transaction() as unit:
            thread = await self.access(unit, caller, conversation_id, lock=True)
            if version is not None and version != thread.version:
                raise VersionChanged("the conversation has changed since you read it", version=thread.version)
            given = patch.model_fields_set
            before = (thread.status, thread.assignee_id, thread.priority)
            if "status" in given and patch.status is not None:
                thread.status = patch.status
            if "assignee_id" in given:
                wanted = patch.assignee_id
                if wanted is not None and not await rows.is_agent(unit, caller.workspace_id, wanted):
                    raise Invalid([Fault("/body/assignee_id", "there is no such agent in this workspace")])
                if wanted is not None and wanted != thread.assignee_id:
                    thread.epoch += 1
                thread.assignee_id = wanted
            if "priority" in given and patch.priority is not None:
                thread.priority = patch.priority
            if before != (thread.status, thread.assignee_id, thread.priority):
                touch(thread, datetime.now(UTC))
                await self.save(unit, caller.workspace_id, [thread])
                unit.record(events.updated(caller.workspace_id, await self.view(caller.workspace_id, thread)))
        return await self.view(caller.workspace_id, thread)

    async def mark_read(self, caller: Principal, conversation_id: UUID, number: int) -> tuple[ReadOut, bool]:
        """Move the caller's reading position, forwards or backwards. Also tells whether it moved."""
        caller.require("conversations.read")
        async with self._database.transaction() as unit:
            thread = await self.access(unit, caller, conversation_id, lock=True)
            number = min(number, thread.last_number)
            moved = await rows.set_reading_position(unit, caller.workspace_id, conversation_id, caller.agent_id, number)
            if moved:
                unit.record(events.read(caller.workspace_id, conversation_id, caller.agent_id, number))
            unread = await rows.unread(unit, caller.workspace_id, caller.agent_id, [conversation_id])
        return ReadOut(number, unread.get(conversation_id, 0)), moved


def touch(thread: Thread, at: datetime) -> None:
    thread.changed = True
    thread.version += 1
    thread.updated_at = at


def note_message(thread: Thread, *, direction: str, preview: str, at: datetime) -> int:
    """Give the next number to a message of this thread, and let the thread show it. Returns the number."""
    thread.last_number += 1
    thread.last_message_at = at
    thread.active_at = at
    thread.last_message_preview = preview[:PREVIEW_LENGTH]
    thread.last_message_direction = direction
    if direction == "in":
        thread.last_inbound_number = thread.last_number
        thread.inbound_count += 1
        if thread.status in ("closed", "snoozed"):
            thread.status = "open"
    touch(thread, at)
    return thread.last_number


def retell(thread: Thread, number: int, preview: str, at: datetime) -> bool:
    """Message ``number`` was edited or unsent: lists must not go on showing its old words. Whether they did."""
    if number != thread.last_number or thread.last_message_preview == preview[:PREVIEW_LENGTH]:
        return False
    thread.last_message_preview = preview[:PREVIEW_LENGTH]
    touch(thread, at)
    return True


def open_window(thread: Thread, occurred_at: datetime) -> bool:
    """An opening event of the customer, by the provider's time; late ones do not move the window back.

    Whether it changed anything; then an event has to say so.
    """
    if thread.window_opened_at is not None and occurred_at <= thread.window_opened_at:
        return False
    thread.window_opened_at = occurred_at
    thread.changed = True
    return True
