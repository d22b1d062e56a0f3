"""Reading messages."""

from __future__ import annotations

from uuid import UUID

from inbox.agents.principal import Principal
from inbox.conversations.service import Conversations
from inbox.kernel.database import Database
from inbox.kernel.errors import NotFound
from inbox.kernel.eventlog import EventLog
from inbox.messages import repository as rows
from inbox.messages.schemas import MessagePage, MessageQuery, MessageVersions, MessageView


class MessageUnknown(NotFound):
    code = "message_not_found"


class Messages:
    def __init__(self, database: Database, event_log: EventLog, conversations: Conversations) -> None:
        self._database = database
        self._event_log = event_log
        self._conversations = conversations

    async def page(self, caller: Principal, conversation_id: UUID, query: MessageQuery) -> MessagePage:
        """Raises ``Forbidden``, ``ConversationUnknown``."""
        caller.require("conversations.read")
        async with self._database.snapshot() as unit:
            state = await self._event_log.state(unit.connection, caller.workspace_id)
            await self._conversations.access(unit, caller, conversation_id)
            found = await rows.page(
                unit,
                caller.workspace_id,
                conversation_id,
                before=query.before,
                after=query.after,
                limit=query.limit,
            )
        earlier = found[0].number if found and found[0].number > 1 else None
        return MessagePage(state.epoch, state.head, found, earlier)

    async def read(self, caller: Principal, message_id: UUID) -> MessageView:
        """Raises ``Forbidden``, ``MessageUnknown``."""
        caller.require("conversations.read")
        async with self._database.transaction(readonly=True) as unit:
            message = await rows.find(unit, caller.workspace_id, message_id)
            if message is None:
                raise MessageUnknown("there is no such message")
            await self._conversations.access(unit, caller, message.conversation_id)
        return message

    async def versions(self, caller: Principal, message_id: UUID) -> MessageVersions:
        """Raises ``Forbidden``, ``MessageUnknown``."""
        await self.read(caller, message_id)
        async with self._database.transaction(readonly=True) as unit:
            return MessageVersions(await rows.versions(unit, caller.workspace_id, message_id))
