"""Whether anything scheduled or running is tied to a conversation: one flag, which several rooms keep together.

Invariant: the flag says what the rows of all rooms say. Whoever changes such a row holds the lock of its conversation
and settles the flag before the commit; so reactions may trust it and leave ordinary traffic alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations
from inbox.kernel.database import UnitOfWork

Tied: TypeAlias = Callable[[UnitOfWork, UUID, UUID], Awaitable[bool]]
"""Whether a room has something tied to this conversation of this workspace."""


class Ties:
    """Every room adds its question before the first transaction."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self._rooms: list[Tied] = []

    def add(self, tied: Tied) -> None:
        self._rooms.append(tied)

    async def settle(self, unit: UnitOfWork, workspace_id: UUID, thread: Thread) -> None:
        """``thread`` is locked, and has changed nothing that is not written."""
        automated = False
        for tied in self._rooms:
            automated = automated or await tied(unit, workspace_id, thread.id)
        await self._conversations.set_automated(unit, workspace_id, thread, automated)
