"""What people decide about deliveries: send a failed or uncertain message again, take back a queued one.

Invariant: a retry never repeats a piece that the provider accepted, and begins under a new delivery id. The id is the
correlation that the provider gives back, so nothing that is still told about the first try can be mistaken for news of
the second (docs/delivery.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from channels.types import Fault
from inbox.agents.principal import Principal
from inbox.conversations.service import Conversations
from inbox.delivery import repository as rows
from inbox.delivery import rounds
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict, Forbidden
from inbox.kernel.ids import new_id
from inbox.messages import repository as message_rows
from inbox.messages.schemas import MessageView
from inbox.messages.service import MessageUnknown
from inbox.messages.statuses import StatusChange, advance, refresh_messages

RETRYABLE: Final = ("failed", "uncertain", "cancelled")
WITHDRAWN: Final = Fault("withdrawn", "Taken back before it was sent.")


class NothingToRetry(Conflict):
    """No part of the message failed or is uncertain. ``message_status`` says how it stands."""

    code = "nothing_to_retry"


class TooLate(Conflict):
    """It is on its way or already sent: cancelling lost the race. ``message_status`` says how it stands."""

    code = "too_late_to_cancel"


class Deliveries:
    def __init__(self, database: Database, conversations: Conversations, wake: Callable[[], None]) -> None:
        self._database = database
        self._conversations = conversations
        self._wake = wake

    async def retry(self, caller: Principal, message_id: UUID) -> MessageView:
        """A new round for the parts that failed, are uncertain or were left out behind those.

        Raises ``MessageUnknown``, ``NothingToRetry``, and ``Forbidden`` for bots: a retry may reach the customer twice
        and no longer carries the lease under which a bot wrote it (P9).
        """
        caller.require("messages.send")
        if caller.confined:
            raise Forbidden("only a person may decide to send a message again")
        async with self._database.transaction() as unit:
            message = await self._lock(unit, caller, message_id)
            states = await rounds.states(unit, caller.workspace_id, message_id)
            failed = [one for one in states if one.state in RETRYABLE]
            withdrawn = bool(states) and all(one.fault_code == WITHDRAWN.code for one in failed)
            if not failed or withdrawn or any(one.state in ("queued", "sending") for one in states):
                raise NothingToRetry("no part of this message can be sent again now", message_status=message.status)
            renamed = [(one.id, new_id()) for one in failed]
            await rounds.begin_again(unit, caller.workspace_id, renamed)
            await refresh_messages(unit, caller.workspace_id, [message_id])
            unit.after_commit(self._wake)
            return await self._read(unit, caller, message_id)

    async def cancel(self, caller: Principal, message_id: UUID) -> MessageView:
        """Take back a message of which nothing has left. Raises ``MessageUnknown``, ``TooLate``."""
        caller.require("messages.send")
        async with self._database.transaction() as unit:
            message = await self._lock(unit, caller, message_id)
            if not await self.withdraw(unit, caller.workspace_id, message.conversation_id, message_id):
                raise TooLate("this message cannot be taken back any more", message_status=message.status)
            return await self._read(unit, caller, message_id)

    async def withdraw(self, unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID, message_id: UUID) -> bool:
        """The same in the transaction of somebody who holds the lock of the conversation. ``False``: some has left."""
        states = await rounds.states(unit, workspace_id, message_id)
        if not states or any(one.state != "queued" for one in states):
            return False
        changes = [StatusChange(one.id, "cancelled", states[0].now, WITHDRAWN) for one in states]
        await advance(unit, workspace_id, changes)
        await rows.call_next(unit, workspace_id, [conversation_id])
        await refresh_messages(unit, workspace_id, [message_id])
        unit.after_commit(self._wake)
        return True

    async def _lock(self, unit: UnitOfWork, caller: Principal, message_id: UUID) -> MessageView:
        """The message, with its conversation locked: claims and results of its deliveries wait for this transaction."""
        message = await message_rows.find(unit, caller.workspace_id, message_id)
        if message is None:
            raise MessageUnknown("there is no such message")
        await self._conversations.access(unit, caller, message.conversation_id, lock=True)
        return await self._read(unit, caller, message_id)

    async def _read(self, unit: UnitOfWork, caller: Principal, message_id: UUID) -> MessageView:
        message = await message_rows.find(unit, caller.workspace_id, message_id)
        if message is None:
            raise MessageUnknown("there is no such message")
        return message
