"""Scheduled messages that a block holds, as one of the rooms that ``inbox.blocking`` shows and settles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Final, Literal
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.blocking.pausable import PausedItem, PausedKind, Settled, Slots
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Forbidden, InboxError, Unavailable
from scheduler.scheduled import repository as rows
from scheduler.scheduled.changing import Changes
from scheduler.scheduled.errors import TooLateToChange
from scheduler.scheduled.handing import HandOver
from scheduler.scheduled.repository import Scheduled

KIND: Final[Literal["scheduled_message"]] = "scheduled_message"


class PausedMessages:
    """A ``Pausable``. Each item is settled in a transaction of its own: what one meets does not stop the others."""

    def __init__(self, database: Database, changes: Changes, hand_over: HandOver) -> None:
        self._database = database
        self._changes = changes
        self._hand_over = hand_over

    @property
    def kind(self) -> PausedKind:
        return KIND

    async def resume(
        self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None, slots: Slots
    ) -> Sequence[Settled]:
        return [await self._resume(caller, one, slots) for one in await self._wanted(caller, contact_id, ids)]

    async def cancel(self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None) -> Sequence[Settled]:
        return [await self._cancel(caller, one) for one in await self._wanted(caller, contact_id, ids)]

    async def _wanted(self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None) -> Sequence[UUID]:
        """Those asked for that are of this contact, in the order of their times."""
        caller.require("scheduled.write")
        async with self._database.transaction(readonly=True) as unit:
            held = [row.id for row in await rows.held_by_block(unit, caller.workspace_id, contact_id)]
            if ids is None:
                return held
            others = [one for one in ids if one not in held]
            theirs = [await rows.find(unit, caller.workspace_id, one) for one in others]
        known = [row.id for row in theirs if row is not None and row.contact_id == contact_id]
        return [*(one for one in held if one in ids), *known]

    async def _resume(self, caller: Principal, scheduled_id: UUID, slots: Slots) -> Settled:
        slot = cache(slots.take)  # a transaction that runs again takes no second one

        async def work(unit: UnitOfWork) -> Settled:
            held = await self._changes.hold(unit, caller, scheduled_id)
            row, workspace_id = held.row, caller.workspace_id
            if (row.state, row.reason) != ("held", "blocked"):
                raise TooLateToChange.of(row)
            await self._changes.go_on(unit, caller, held, None, slot)
            await self._hand_over.tell(unit, workspace_id, row, "resumed", caller, {"reason": "unblocked"})
            await self._hand_over.ties.settle(unit, workspace_id, held.place.thread)
            return Settled(KIND, row.id, "resumed", row.state, row.due_at)

        return await self._settle(scheduled_id, caller, work)

    async def _cancel(self, caller: Principal, scheduled_id: UUID) -> Settled:
        async def work(unit: UnitOfWork) -> Settled:
            held = await self._changes.hold(unit, caller, scheduled_id)
            row, workspace_id = held.row, caller.workspace_id
            if (row.state, row.reason) != ("held", "blocked"):
                raise TooLateToChange.of(row)
            await self._changes.withdraw(unit, workspace_id, held)
            await self._hand_over.tell(unit, workspace_id, row, "cancelled", caller, {"reason": "blocked"})
            return Settled(KIND, row.id, "cancelled", row.state, row.due_at)

        return await self._settle(scheduled_id, caller, work)

    async def _settle(
        self, scheduled_id: UUID, caller: Principal, work: Callable[[UnitOfWork], Awaitable[Settled]]
    ) -> Settled:
        try:
            return await self._database.retrying(work)
        except (Forbidden, Unavailable):
            raise
        except InboxError as error:
            async with self._database.transaction(readonly=True) as unit:
                row = await rows.find(unit, caller.workspace_id, scheduled_id)
            state = "gone" if row is None else row.state
            return Settled(KIND, scheduled_id, "refused", state, detail=error.detail)

    async def list(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> Sequence[PausedItem]:
        return [_item(row) for row in await rows.held_by_block(unit, workspace_id, contact_id)]


def _item(row: Scheduled) -> PausedItem:
    return PausedItem(KIND, row.id, row.conversation_id, row.preview, row.state, row.due_at, row.state_at)
