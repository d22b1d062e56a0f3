"""Taking back a queued message inside the transaction of somebody who has a reason for it."""

from __future__ import annotations

from uuid import UUID

from channels.types import Fault
from inbox.delivery import repository as rows
from inbox.delivery import rounds
from inbox.kernel.database import UnitOfWork
from inbox.messages.statuses import StatusChange, advance, refresh_messages


async def withdraw(
    unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID, message_id: UUID, reason: Fault
) -> bool:
    """The caller holds the lock of the conversation. ``False``: something of the message has left, or may have."""
    states = await rounds.states(unit, workspace_id, message_id)
    if not states or any(one.state != "queued" for one in states):
        return False
    await advance(unit, workspace_id, [StatusChange(one.id, "cancelled", one.now, reason) for one in states])
    await rows.call_next(unit, workspace_id, [conversation_id])
    await refresh_messages(unit, workspace_id, [message_id])
    return True
