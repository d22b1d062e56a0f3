"""What people and bots do with runs: start, change, pause, resume, end, hand off and back.

Every call locks the conversation first, then the run, and decides by what it finds there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import NotFound
from scheduler.workflows import repository as rows
from scheduler.workflows.firing import lock_runs
from scheduler.workflows.handing import Handing
from scheduler.workflows.repository import Run, view
from scheduler.workflows.schemas import EndIn, HandOffIn, NoteIn, RunView, StartIn

Move: TypeAlias = Callable[[UnitOfWork, Thread, Run], Awaitable[Run | None]]


class RunUnknown(NotFound):
    code = "workflow_not_found"


class Workflows:
    def __init__(self, database: Database, conversations: Conversations, handing: Handing) -> None:
        self._database = database
        self._conversations = conversations
        self._handing = handing

    # --- reading ------------------------------------------------------------------------------------------------------

    async def list(self, caller: Principal, conversation_id: UUID, *, before: UUID | None, limit: int) -> list[RunView]:
        """Newest first. Raises ``ConversationUnknown``."""
        caller.require("conversations.read")
        async with self._database.transaction(readonly=True) as unit:
            await self._conversations.access(unit, caller, conversation_id)
            found = await rows.page(unit, caller.workspace_id, conversation_id, before=before, limit=limit)
        return [view(run) for run in found]

    async def get(self, caller: Principal, run_id: UUID) -> RunView:
        """Raises ``RunUnknown``."""
        caller.require("conversations.read")
        async with self._database.transaction(readonly=True) as unit:
            run = await rows.find(unit, caller.workspace_id, run_id)
        if run is None or not _theirs(caller, run):
            raise RunUnknown("there is no such run")
        return view(run)

    # --- changing -----------------------------------------------------------------------------------------------------

    async def start(self, caller: Principal, conversation_id: UUID, fields: StartIn) -> RunView:
        """Raises ``ConversationUnknown``, ``BotUnknown``, ``BotRefused``, ``RunConflict``."""
        caller.require("conversations.write")

        async def work(unit: UnitOfWork) -> RunView:
            thread = await self._conversations.access(unit, caller, conversation_id, lock=True)
            return view(await self._handing.start(unit, caller, thread, fields))

        return await self._database.retrying(work)

    async def change(self, caller: Principal, run_id: UUID, fields: StartIn) -> RunView:
        """The run of the bot that has it now."""
        caller.require("conversations.write")
        return await self._move(
            caller, run_id, lambda unit, thread, run: self._handing.change(unit, caller, thread, run, fields)
        )

    async def pause(self, caller: Principal, run_id: UUID, fields: NoteIn) -> RunView:
        caller.require("conversations.write")
        return await self._move(
            caller, run_id, lambda unit, thread, run: self._handing.pause(unit, caller, thread, run, fields.note)
        )

    async def resume(self, caller: Principal, run_id: UUID, fields: NoteIn) -> RunView:
        caller.require("conversations.write")
        return await self._move(
            caller, run_id, lambda unit, thread, run: self._handing.resume(unit, caller, thread, run, fields.note)
        )

    async def end(self, caller: Principal, run_id: UUID, fields: EndIn) -> RunView:
        """A bot may end its own."""
        caller.require("conversations.handoff")
        return await self._move(
            caller, run_id, lambda unit, thread, run: self._handing.end(unit, caller, thread, run, fields)
        )

    async def hand_off(self, caller: Principal, run_id: UUID, fields: HandOffIn) -> RunView:
        """A bot may hand off its own."""
        caller.require("conversations.handoff")
        return await self._move(
            caller, run_id, lambda unit, thread, run: self._handing.hand_off(unit, caller, thread, run, fields)
        )

    async def hand_back(self, caller: Principal, run_id: UUID, fields: NoteIn) -> RunView:
        caller.require("conversations.write")
        return await self._move(
            caller, run_id, lambda unit, thread, run: self._handing.hand_back(unit, caller, thread, run, fields.note)
        )

    async def _move(self, caller: Principal, run_id: UUID, move: Move) -> RunView:
        """Raises ``RunUnknown``, and what ``move`` raises."""

        async def work(unit: UnitOfWork) -> RunView:
            locked = await lock_runs(unit, caller.workspace_id, [run_id])
            if not locked or not _theirs(caller, locked[0][1]):
                raise RunUnknown("there is no such run")
            thread, run = locked[0]
            return view(await move(unit, thread, run) or run)

        return await self._database.retrying(work)


def _theirs(caller: Principal, run: Run) -> bool:
    return not caller.confined or run.bot_id == caller.agent_id
