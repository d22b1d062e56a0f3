"""How messages show their files. The parts of a message hold the view of each file, and change with it.

Invariant: what a file is (table ``media``) and what the parts say of it change in one transaction, under the lock of
the conversation, with a ``message.updated`` event: events and snapshots agree, and reading a thread joins nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.conversations import repository as thread_rows
from inbox.conversations.service import Conversations, ConversationUnknown
from inbox.kernel.database import Contended, UnitOfWork
from inbox.media.schemas import MediaView
from inbox.messages import events, set_aside_rows
from inbox.messages import repository as rows
from inbox.messages import set_aside_schemas as set_aside_events


class MediaParts:
    """What ``inbox.media`` is handed, since it stands below messages."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    async def visible(self, unit: UnitOfWork, caller: Principal, message_ids: Sequence[UUID]) -> bool:
        """Whether one is in a conversation that the caller may see, or set aside where they may see that."""
        for conversation_id in await rows.conversations_of(unit, caller.workspace_id, message_ids):
            try:
                await self._conversations.access(unit, caller, conversation_id)
            except ConversationUnknown:
                continue
            return True
        return caller.may("contacts.set_aside") and await set_aside_rows.any_of(unit, caller.workspace_id, message_ids)

    async def hold(self, unit: UnitOfWork, workspace_id: UUID, message_ids: list[UUID]) -> None:
        """Lock the conversations of these messages. Raises ``Contended`` when one was joined to another meanwhile."""
        if not message_ids:
            return
        ids = await rows.conversations_of(unit, workspace_id, message_ids)
        await thread_rows.lock_many(unit, workspace_id, [], ids)
        if await rows.conversations_of(unit, workspace_id, message_ids) != ids:
            raise Contended("a conversation was joined by another transaction")

    async def show(self, unit: UnitOfWork, workspace_id: UUID, message_ids: list[UUID], views: list[MediaView]) -> None:
        """Put these views in place of the former ones, wherever the messages stand."""
        shown = await rows.show_media(unit, workspace_id, message_ids, views)
        for message in shown:
            holder_id = await thread_rows.find_holder(unit, workspace_id, message.conversation_id)
            unit.record(events.updated(workspace_id, message, holder_id))
        if len(shown) < len(message_ids):
            aside = await set_aside_rows.show_media(unit, workspace_id, message_ids, views)
            unit.record_all([set_aside_events.updated(workspace_id, view) for view in aside])
