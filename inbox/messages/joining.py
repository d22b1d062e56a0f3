"""When two identities turn out to be one person: their threads on one channel become one thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from inbox.conversations import events as thread_events
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations, touch
from inbox.kernel.database import UnitOfWork
from inbox.messages import merging as rows
from inbox.messages import set_aside_rows


class SendsInTheAir(Exception):
    """Both threads have a request at the provider now: worth another try when they are back."""


class ThreadJoiner:
    """Called by ``contacts.resolution`` inside its transaction, before the lost identities are deleted."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    async def join(self, unit: UnitOfWork, workspace_id: UUID, survivor: UUID, losers: Sequence[UUID]) -> None:
        """A ``contacts.resolution.OnJoin``: threads follow; two on one channel become one."""
        threads = await thread_rows.of_identities(unit, workspace_id, [survivor, *losers])
        own = {thread.channel_id: thread for thread in threads if thread.identity_id == survivor}
        for thread in threads:
            if thread.identity_id == survivor:
                continue
            target = own.get(thread.channel_id)
            if target is None:
                await thread_rows.rehome(unit, workspace_id, thread.id, survivor)
                own[thread.channel_id] = thread
            else:
                await self._pour(unit, workspace_id, thread, target)
        await set_aside_rows.follow_identity(unit, workspace_id, losers, survivor)
        for conversation_id in await thread_rows.follow_contact(unit, workspace_id, survivor):
            moved = await thread_rows.find(unit, workspace_id, conversation_id)
            if moved is not None:
                unit.record(thread_events.updated(workspace_id, await self._conversations.view(workspace_id, moved)))

    async def _pour(self, unit: UnitOfWork, workspace_id: UUID, source: Thread, target: Thread) -> None:
        if await rows.both_in_the_air(unit, workspace_id, source.id, target.id):
            raise SendsInTheAir("both threads are sending")
        numbers = await rows.move_thread(unit, workspace_id, source.id, target.id)
        target.last_number, target.last_inbound_number = numbers
        target.inbound_count += source.inbound_count
        if source.active_at > target.active_at:
            target.active_at, target.last_message_at = source.active_at, source.last_message_at
            target.last_message_preview = source.last_message_preview
            target.last_message_direction = source.last_message_direction
        if source.status != "closed" and target.status == "closed":
            target.status = source.status
        target.assignee_id = target.assignee_id or source.assignee_id
        target.window_opened_at = _later(target.window_opened_at, source.window_opened_at)
        target.delivered_up_to = _later(target.delivered_up_to, source.delivered_up_to)
        target.read_up_to = _later(target.read_up_to, source.read_up_to)
        target.automated = target.automated or source.automated
        target.epoch = max(target.epoch, source.epoch) + 1
        touch(target, datetime.now(UTC))
        await self._conversations.save(unit, workspace_id, [target])
        await thread_rows.delete(unit, workspace_id, source.id)
        view = await self._conversations.view(workspace_id, target)
        unit.record(thread_events.merged(workspace_id, view, source.id))


def _later(first: datetime | None, second: datetime | None) -> datetime | None:
    return max((moment for moment in (first, second) if moment is not None), default=None)
