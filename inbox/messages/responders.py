"""Who may take a conversation when a customer begins it: handed to the receiver by the room above that knows bots."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from inbox.conversations.repository import Thread
from inbox.kernel.database import UnitOfWork


class Takers(Protocol):
    """For one transaction that receives messages."""

    async def take(self, thread: Thread) -> None:
        """A bot may take the conversation, which the caller has locked and writes; says so in the log if one does."""
        ...


class Responders(Protocol):
    def takers(self, unit: UnitOfWork, workspace_id: UUID) -> Takers: ...


class NoResponders:
    """Where there are no bots; both of the above."""

    def takers(self, unit: UnitOfWork, workspace_id: UUID) -> Takers:
        return self

    async def take(self, thread: Thread) -> None:
        return None


def begins(thread: Thread) -> bool:
    """Whether an inbound message that comes now begins a conversation with nobody in particular: the first one ever, or
    the first since it was closed."""
    if thread.assignee_id is not None or thread.run_id is not None:
        return False
    never_answered = thread.inbound_count == 0 and thread.epoch == 1
    return thread.status == "closed" or (thread.status == "open" and never_answered)
