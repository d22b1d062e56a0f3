"""What a block does to the conversations of a contact, in its own transaction.

Invariant (P7): whoever sends to a contact holds the lock of the conversation while deciding. Once this has that lock,
each send of theirs has either been seen here, or sees the block: what is queued is cancelled, what is in the air is
known by name, and nothing is added. Responders lose their leases: the epoch is another one (P9).
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from channels.types import Fault
from inbox.blocking import repository as rows
from inbox.blocking.repository import InTheAir
from inbox.conversations import events as thread_events
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations, touch
from inbox.delivery.gate import CONTACT_BLOCKED
from inbox.kernel.database import UnitOfWork
from inbox.messages.statuses import StatusChange, advance, refresh_messages

STOPPED = Fault(CONTACT_BLOCKED.code, CONTACT_BLOCKED.reason)


class Silence:
    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    async def fall(
        self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID, *, again: bool = False
    ) -> list[InTheAir]:
        """Close, end the leases, cancel. Returns what the providers have been asked already.

        ``again``: it had fallen before, so only what was opened since is closed.
        """
        threads = await thread_rows.of_contacts(unit, workspace_id, [contact_id])
        now = datetime.now(UTC)
        loud = [thread for thread in threads if not (again and thread.status == "closed")]
        for thread in loud:
            thread.status = "closed"
            thread.epoch += 1
            touch(thread, now)
        await self._tell(unit, workspace_id, loud)
        return await self.stop(unit, workspace_id, [thread.id for thread in threads])

    async def stop(self, unit: UnitOfWork, workspace_id: UUID, conversation_ids: list[UUID]) -> list[InTheAir]:
        """Cancel what is queued. The caller holds these conversations."""
        if not conversation_ids:
            return []
        queued = await rows.queued(unit, workspace_id, conversation_ids)
        if queued:
            at = await unit.time()
            changes = [StatusChange(delivery_id, CONTACT_BLOCKED.state, at, STOPPED) for delivery_id in queued]
            await refresh_messages(unit, workspace_id, await advance(unit, workspace_id, changes))
        return await rows.in_the_air(unit, workspace_id, conversation_ids)

    async def open_windows(
        self, unit: UnitOfWork, workspace_id: UUID, threads: list[Thread], opened: dict[tuple[UUID, UUID], datetime]
    ) -> None:
        """What was set aside opened the provider's windows all the same; from the unblocking on the threads say so."""
        changed = []
        for thread in threads:
            at = opened.get((thread.channel_id, thread.identity_id))
            if at is not None and (thread.window_opened_at is None or at > thread.window_opened_at):
                thread.window_opened_at = at
                touch(thread, datetime.now(UTC))
                changed.append(thread)
        await self._tell(unit, workspace_id, changed)

    async def _tell(self, unit: UnitOfWork, workspace_id: UUID, threads: list[Thread]) -> None:
        await self._conversations.save(unit, workspace_id, threads)
        for thread in threads:
            unit.record(thread_events.updated(workspace_id, await self._conversations.view(workspace_id, thread)))
