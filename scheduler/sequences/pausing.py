"""What a block paused in this room, and the decisions of people about it (``blocking.pausable``)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.blocking.pausable import PausedItem, PausedKind, Settled, Slots
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict
from inbox.kernel.timers import cancel_timers
from scheduler.sequences import enrollment_rows as rows
from scheduler.sequences.enrollment_rows import Enrollment
from scheduler.sequences.leading import BLOCKED, Decision, Enrollments, EnrollmentState, Held
from scheduler.sequences.walking import KIND


class PausedEnrollments:
    def __init__(self, database: Database, enrollments: Enrollments) -> None:
        self._database = database
        self._enrollments = enrollments

    @property
    def kind(self) -> PausedKind:
        return "enrollment"

    async def list(self, unit: UnitOfWork, workspace_id: UUID, contact_id: UUID) -> Sequence[PausedItem]:
        found = [row for row in await rows.peek_running(unit, workspace_id, [contact_id]) if _by_block(row)]
        views = await rows.views(unit, workspace_id, found)
        items = [
            PausedItem(
                "enrollment", row.id, row.conversation_id, view.sequence_name, row.state, row.due_at, row.state_at
            )
            for row, view in zip(found, views, strict=True)
        ]
        return sorted(items, key=lambda item: (item.paused_at, item.id))

    async def resume(
        self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None, slots: Slots
    ) -> Sequence[Settled]:
        """What is overdue waits anew, from its slot on; what is due later keeps its time."""

        async def decide(held: Held) -> str:
            _require_block(held.row)
            await self._enrollments.go_on(held, now=False, slot=slots.take)
            return "resumed"

        return await self._settle(caller, contact_id, ids, decide, "resumed")

    async def cancel(self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None) -> Sequence[Settled]:
        async def decide(held: Held) -> str:
            _require_block(held.row)
            await self._enrollments.end(held)
            return "left"

        return await self._settle(caller, contact_id, ids, decide, "cancelled")

    async def _settle(
        self, caller: Principal, contact_id: UUID, ids: Sequence[UUID] | None, decide: Decision, outcome: str
    ) -> Sequence[Settled]:
        """All in one transaction, in the order of their due times."""
        caller.require("sequences.enrol")

        async def work(unit: UnitOfWork) -> Sequence[Settled]:
            there = await rows.peek_running(unit, caller.workspace_id, [contact_id])
            if ids is None:
                wanted = [row for row in there if _by_block(row)]
            else:
                known = await rows.peek(unit, caller.workspace_id, ids)
                wanted = [row for row in known if row.contact_id == contact_id]
            wanted.sort(key=lambda row: (row.due_at or row.state_at, row.id))
            # Timers before conversations. These rows are paused, so nobody misses the timers of those that stay so.
            keys = [row.timer_key for row in wanted if _by_block(row)]
            await cancel_timers(unit, caller.workspace_id, KIND, keys)
            return [await self._one(unit, caller, row.id, decide, outcome) for row in wanted]

        return await self._database.retrying(work)

    async def _one(
        self, unit: UnitOfWork, caller: Principal, enrollment_id: UUID, decide: Decision, outcome: str
    ) -> Settled:
        try:
            async with unit.savepoint():
                row = await self._enrollments.decide_in(unit, caller, enrollment_id, decide)
        except Conflict as refused:
            (stands,) = await rows.peek(unit, caller.workspace_id, [enrollment_id])
            return Settled("enrollment", enrollment_id, "refused", stands.state, stands.due_at, refused.detail)
        assert row is not None, "it was read a moment ago, and enrollments are never deleted"
        return Settled("enrollment", row.id, outcome, row.state, row.due_at)  # type: ignore[arg-type]


def _by_block(row: Enrollment) -> bool:
    return row.state == "paused" and row.reason == BLOCKED


def _require_block(row: Enrollment) -> None:
    if not _by_block(row):
        raise EnrollmentState(
            f"this enrollment is {row.state}", state=row.state, reason=row.reason, what_happened=row.reason or row.state
        )
