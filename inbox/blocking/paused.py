"""What a block held up, over all rooms: shown, resumed or ended by a person, item by item or all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from contacts import blocks
from contacts import repository as contact_rows
from contacts.schemas import ContactView
from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.blocking import repository as rows
from inbox.blocking.pausable import APART, Pausable, PausedItem, PausedKind, Settled, Slots
from inbox.blocking.schemas import PausedOut, PausedRef, SettledOut
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict


class StillBlocked(Conflict):
    """Nothing goes on for a contact who is blocked: unblock them first."""

    code = "contact_blocked"


class Paused:
    """Rooms ``register`` once, when the process is built."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rooms: dict[PausedKind, Pausable] = {}

    def register(self, room: Pausable) -> None:
        """Raises ``ValueError`` when there is one of its kind."""
        if room.kind in self._rooms:
            raise ValueError(f"{room.kind!r} is registered already")
        self._rooms[room.kind] = room

    async def read(self, caller: Principal, contact_id: UUID) -> PausedOut:
        """Raises ``Forbidden``, ``ContactUnknown``."""
        caller.require("contacts.read")
        async with self._database.snapshot() as unit:
            contact = await self._find(unit, caller.workspace_id, contact_id)
            items = await self.items(unit, caller.workspace_id, contact.id)
            asked = await blocks.asked_of(unit, caller.workspace_id, [contact.id])
        return PausedOut(contact, items, asked)

    async def left(self, workspace_id: UUID, contact_id: UUID) -> list[PausedItem]:
        """What is paused still, for whoever has just unblocked the contact."""
        async with self._database.transaction(readonly=True) as unit:
            return await self.items(unit, workspace_id, contact_id)

    async def items(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> list[PausedItem]:
        """By when they were due; those that wait for nothing last."""
        found = [item for room in self._rooms.values() for item in await room.list(unit, workspace_id, contact_id)]
        return sorted(found, key=lambda item: (item.due_at is None, item.due_at or item.paused_at, item.id))

    async def resume(self, caller: Principal, contact_id: UUID, refs: Sequence[PausedRef] | None) -> SettledOut:
        """Raises ``Forbidden``, ``ContactUnknown``, ``StillBlocked``."""
        caller.require("contacts.block")
        wanted = _by_kind(refs)

        async def work(unit: UnitOfWork) -> tuple[ContactView, Slots]:
            contact = await self._find(unit, caller.workspace_id, contact_id)
            if contact.blocked is not None:
                raise StillBlocked("this contact is blocked: unblock them first")
            soon = await unit.time() + APART
            late = [
                item
                for item in await self.items(unit, caller.workspace_id, contact.id)
                if (item.due_at is None or item.due_at <= soon) and _is_wanted(item, wanted)
            ]
            return contact, Slots(await rows.reserve_slots(unit, caller.workspace_id, contact.id, max(1, len(late))))

        contact, slots = await self._database.retrying(work)
        settled: list[Settled] = []
        for kind, room in self._rooms.items():
            if wanted is None or kind in wanted:
                settled += await room.resume(caller, contact.id, None if wanted is None else wanted[kind], slots)
        return SettledOut(settled)

    async def cancel(self, caller: Principal, contact_id: UUID, refs: Sequence[PausedRef] | None) -> SettledOut:
        """Raises ``Forbidden``, ``ContactUnknown``."""
        caller.require("contacts.block")
        wanted = _by_kind(refs)
        async with self._database.transaction(readonly=True) as unit:
            contact = await self._find(unit, caller.workspace_id, contact_id)
        settled: list[Settled] = []
        for kind, room in self._rooms.items():
            if wanted is None or kind in wanted:
                settled += await room.cancel(caller, contact.id, None if wanted is None else wanted[kind])
        return SettledOut(settled)

    @staticmethod
    async def _find(unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> ContactView:
        contact = await contact_rows.find(unit, workspace_id, contact_id)
        if contact is None:
            raise ContactUnknown("there is no such contact")
        return contact


def _by_kind(refs: Sequence[PausedRef] | None) -> Mapping[PausedKind, list[UUID]] | None:
    if refs is None:
        return None
    wanted: dict[PausedKind, list[UUID]] = {}
    for ref in refs:
        wanted.setdefault(ref.kind, []).append(ref.id)
    return wanted


def _is_wanted(item: PausedItem, wanted: Mapping[PausedKind, list[UUID]] | None) -> bool:
    return wanted is None or item.id in wanted.get(item.kind, ())
