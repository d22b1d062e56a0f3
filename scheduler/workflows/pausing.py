"""What a block paused of bots, and what people decide about it: fits ``blocking.pausable.Pausable``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.blocking.pausable import PausedItem, PausedKind, Settled, Slots
from inbox.conversations.repository import Thread
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict, NotFound
from scheduler.workflows import repository as rows
from scheduler.workflows.firing import lock_runs
from scheduler.workflows.handing import Handing
from scheduler.workflows.repository import Run
from scheduler.workflows.schemas import EndIn

KIND: Final[PausedKind] = "workflow"
Decision: TypeAlias = Callable[[UnitOfWork, Thread, Run], Awaitable[Settled]]


class PausedRuns:
    """A run waits for nothing that could fall due at once with others: resumed, its bot answers when it is its turn."""

    def __init__(self, database: Database, handing: Handing) -> None:
        self._database = database
        self._handing = handing

    @property
    def kind(self) -> PausedKind:
        return KIND

    async def list(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> Sequence[PausedItem]:
        return [
            PausedItem(KIND, run.id, run.conversation_id, run.bot_name, run.state, None, run.updated_at)
            for run in await self._paused(unit, workspace_id, contact_id)
        ]

    async def resume(
        self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None, slots: Slots
    ) -> Sequence[Settled]:
        caller.require("conversations.write")

        async def go_on(unit: UnitOfWork, thread: Thread, run: Run) -> Settled:
            await self._handing.resume(unit, caller, thread, run, None)
            return Settled(KIND, run.id, "resumed", run.state)

        return await self._each(caller, contact_id, ids, go_on)

    async def cancel(self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None) -> Sequence[Settled]:
        caller.require("conversations.write")

        async def end(unit: UnitOfWork, thread: Thread, run: Run) -> Settled:
            await self._handing.end(unit, caller, thread, run, EndIn())
            return Settled(KIND, run.id, "cancelled", run.state)

        return await self._each(caller, contact_id, ids, end)

    async def _each(
        self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None, decide: Decision
    ) -> Sequence[Settled]:
        async def work(unit: UnitOfWork) -> list[Settled]:
            workspace_id = caller.workspace_id
            if ids is None:
                wanted = [run.id for run in await self._paused(unit, workspace_id, contact_id)]
            else:
                wanted = await rows.those_of_contact(unit, workspace_id, contact_id, ids)
            settled = []
            for thread, run in await lock_runs(unit, workspace_id, wanted):
                if not (run.state == "paused" and run.reason == "blocked"):
                    settled.append(Settled(KIND, run.id, "refused", run.state, detail="a block does not pause it"))
                    continue
                try:
                    settled.append(await decide(unit, thread, run))
                except (Conflict, NotFound) as refused:
                    settled.append(Settled(KIND, run.id, "refused", run.state, detail=refused.detail))
            return settled

        return await self._database.retrying(work)

    async def _paused(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> Sequence[Run]:
        found = await rows.of_contact(unit, workspace_id, contact_id)
        return [run for run in found if run.state == "paused" and run.reason == "blocked"]
