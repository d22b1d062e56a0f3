"""Bots that answer first: they take a conversation in the transaction that receives the customer's message.

So the first events that a bot gets of it, that message among them, come with its lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from inbox.conversations.repository import Thread
from inbox.kernel.database import UnitOfWork
from scheduler.workflows import bot_rows
from scheduler.workflows.bot_rows import Bot
from scheduler.workflows.moves import Cause, Moves


class FirstResponders:
    """Fits ``messages.responders.Responders``."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    def takers(self, unit: UnitOfWork, workspace_id: UUID) -> FirstTakers:
        return FirstTakers(self._moves, unit, workspace_id)


class FirstTakers:
    """Looks for bots once a transaction, and only when a conversation begins."""

    def __init__(self, moves: Moves, unit: UnitOfWork, workspace_id: UUID) -> None:
        self._moves = moves
        self._unit = unit
        self._workspace_id = workspace_id
        self._bots: Sequence[Bot] | None = None

    async def take(self, thread: Thread) -> None:
        """The oldest bot that serves the channel takes it."""
        if self._bots is None:
            self._bots = await bot_rows.first_responders(self._unit, self._workspace_id)
        bot = next((one for one in self._bots if one.serves(thread.channel_id)), None)
        if bot is not None:
            await self._moves.begin_quietly(self._unit, thread, bot, Cause("first_contact"))
