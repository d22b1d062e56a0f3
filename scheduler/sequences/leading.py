"""What people decide about an enrollment: pause, resume, skip a step, leave, move to the newest version.

Invariant: a decision and a step have one winner. The timer is cancelled first, which waits for a clock that is firing
it at this moment; then conversation and row are locked, and what they say decides. The loser is told how it stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from contacts import repository as contact_rows
from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.blocking.repository import free_slot
from inbox.conversations.repository import Thread
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict, NotFound
from inbox.kernel.timers import cancel_timer
from scheduler.sequences import enrollment_rows as rows
from scheduler.sequences.enrollment_rows import Enrollment
from scheduler.sequences.firing import lock
from scheduler.sequences.schemas import EnrollmentQuery, EnrollmentView
from scheduler.sequences.service import get
from scheduler.sequences.versions import move_to
from scheduler.sequences.walking import KIND, Round, Run, Walking

BLOCKED: Final = "blocked"
"""The reason of what a block paused."""


class EnrollmentUnknown(NotFound):
    code = "enrollment_not_found"


class EnrollmentState(Conflict):
    """``state`` and ``reason`` are those it is in; ``what_happened`` says it in a word."""

    code, title = "enrollment_state", "How the enrollment stands does not allow this"


class StepLeft(Conflict):
    """The step's message is on its way: ``message_id``."""

    code, title = "step_on_its_way", "The message of this step is on its way already"


@dataclass(frozen=True, slots=True)
class Held:
    """Everything that a decision rests on, locked."""

    unit: UnitOfWork
    around: Round
    run: Run
    threads: list[Thread]
    blocked: bool

    @property
    def row(self) -> Enrollment:
        return self.run.row


Decision: TypeAlias = Callable[[Held], Awaitable[str]]
"""Changes the row and says what was done, for the audit trail."""


class Enrollments:
    def __init__(self, database: Database, walking: Walking) -> None:
        self._database = database
        self._walking = walking

    # --- reading ------------------------------------------------------------------------------------------------------

    async def read(self, caller: Principal, enrollment_id: UUID) -> EnrollmentView:
        """Raises ``EnrollmentUnknown``."""
        caller.require("sequences.read")
        async with self._database.snapshot() as unit:
            found = await rows.views(
                unit, caller.workspace_id, await rows.peek(unit, caller.workspace_id, [enrollment_id])
            )
        if not found:
            raise EnrollmentUnknown("there is no such enrollment")
        return found[0]

    async def of_sequence(self, caller: Principal, sequence_id: UUID, query: EnrollmentQuery) -> list[EnrollmentView]:
        """Raises ``SequenceUnknown``."""
        caller.require("sequences.read")
        async with self._database.snapshot() as unit:
            await get(unit, caller, sequence_id)
            return await self._page(unit, caller, query, sequence_id=sequence_id)

    async def of_contact(self, caller: Principal, contact_id: UUID, query: EnrollmentQuery) -> list[EnrollmentView]:
        """Raises ``ContactUnknown``."""
        caller.require("sequences.read")
        async with self._database.snapshot() as unit:
            contact = await contact_rows.find(unit, caller.workspace_id, contact_id)
            if contact is None:
                raise ContactUnknown("there is no such contact")
            return await self._page(unit, caller, query, contact_id=contact.id)

    async def _page(
        self, unit: UnitOfWork, caller: Principal, query: EnrollmentQuery, **of: UUID
    ) -> list[EnrollmentView]:
        return await rows.page(
            unit, caller.workspace_id, states=query.state, after=query.last_id(), limit=query.limit + 1, **of
        )

    # --- decisions ----------------------------------------------------------------------------------------------------

    async def pause(self, caller: Principal, enrollment_id: UUID) -> EnrollmentView:
        """Nothing more is sent until it is resumed. What is queued is taken back, and sent then; what is on its way is
        named by ``next.message_id``. Raises ``EnrollmentUnknown``, ``EnrollmentState``."""

        async def decide(held: Held) -> str:
            _require(held.row, "active")
            held.row.become("paused", "by_hand", held.around.now)
            await self._walking.take_back(held.unit, caller.workspace_id, held.row)
            return "paused"

        return await self._decide(caller, enrollment_id, decide)

    async def resume(self, caller: Principal, enrollment_id: UUID, *, now: bool) -> EnrollmentView:
        """Raises ``EnrollmentUnknown``, ``EnrollmentState``."""

        async def decide(held: Held) -> str:
            _require(held.row, "paused")
            slot = None
            if held.row.reason == BLOCKED:
                slot = await free_slot(held.unit, caller.workspace_id, held.row.contact_id)
            await self.go_on(held, now=now, slot=slot)
            return "resumed"

        return await self._decide(caller, enrollment_id, decide)

    async def skip(self, caller: Principal, enrollment_id: UUID) -> EnrollmentView:
        """The step that comes next is left out. Raises ``EnrollmentUnknown``, ``EnrollmentState``, ``StepLeft``."""

        async def decide(held: Held) -> str:
            row = held.row
            _require(row, "active", "paused")
            if row.message_id is not None:
                await self._take_back(held)
            elif held.run.step is not None:
                await self._walking.note(held.unit, held.around, held.run, "skipped", "by_hand")
            row.go_to(row.position + 1)
            if row.state == "active":
                await self._walking.wait(held.unit, held.around, held.run)
            return "step_skipped"

        return await self._decide(caller, enrollment_id, decide)

    async def leave(self, caller: Principal, enrollment_id: UUID) -> EnrollmentView:
        """It ends here. What is queued is taken back; what is on its way is shown by the last of ``steps``.

        Raises ``EnrollmentUnknown``, ``EnrollmentState``.
        """

        async def decide(held: Held) -> str:
            _require(held.row, "active", "paused")
            await self.end(held)
            return "left"

        return await self._decide(caller, enrollment_id, decide)

    async def move(self, caller: Principal, enrollment_id: UUID, *, follows: bool | None) -> EnrollmentView:
        """On to the newest version; steps that were given are not given again. Raises ``EnrollmentUnknown``,
        ``EnrollmentState``, ``StepLeft``."""

        async def decide(held: Held) -> str:
            row = held.row
            _require(row, "active", "paused")
            sequence = await get(held.unit, caller, row.sequence_id, lock="SHARE")
            row.follows = row.follows if follows is None else follows
            if sequence.published is None or sequence.published == row.sequence_version:
                await self._stand(held)
                return "moved"
            if row.message_id is not None:
                raise StepLeft(
                    "a message of the version before is on its way; move it when that is settled",
                    message_id=row.message_id,
                )
            await move_to(held.unit, self._walking, held.around, held.run, sequence.published)
            if row.state == "active":
                await self._walking.wait(held.unit, held.around, held.run, since=row.waits_since)
            return "moved"

        return await self._decide(caller, enrollment_id, decide)

    # --- used by whoever unblocks, too --------------------------------------------------------------------------------

    async def go_on(self, held: Held, *, now: bool, slot: Callable[[], datetime] | None = None) -> None:
        """A paused one: what is due later keeps its time; what is overdue waits anew, from now or from its ``slot`` on,
        or comes now (in its ``slot``, if it has one). Raises ``EnrollmentState`` when the contact is blocked."""
        row, due_at = held.row, held.row.due_at
        if held.blocked:
            raise EnrollmentState("the contact is blocked", **_standing(row), what_happened="blocked")
        row.become("active", None, held.around.now)
        if row.message_id is not None:
            return  # it was on its way when this was paused: what comes of it leads on
        if now and held.run.step is not None:
            soon = held.around.now if slot is None else slot()
            await self._walking.wait_until(held.unit, held.around, held.run, soon)
        elif due_at is not None and due_at > held.around.now and row.waits_since is None:
            await self._walking.wait_until(held.unit, held.around, held.run, due_at)
        elif due_at is not None and due_at > held.around.now:
            await self._walking.wait(held.unit, held.around, held.run, since=row.waits_since)
        else:
            await self._walking.wait(held.unit, held.around, held.run, since=None if slot is None else slot())

    async def end(self, held: Held) -> None:
        held.row.become("left", None, held.around.now)
        await self._walking.take_back(held.unit, held.around.workspace_id, held.row)

    async def decide_in(
        self, unit: UnitOfWork, caller: Principal, enrollment_id: UUID, decide: Decision
    ) -> Enrollment | None:
        """The decision in a transaction of the caller. ``None``: there is no such enrollment."""
        workspace_id = caller.workspace_id
        peeked = await rows.peek(unit, workspace_id, [enrollment_id])
        if not peeked:
            return None
        await cancel_timer(unit, workspace_id, KIND, peeked[0].timer_key)
        locked = await lock(unit, workspace_id, [enrollment_id])
        (row,) = locked.rows
        around = await self._walking.round(unit, workspace_id)
        contact = locked.contacts[row.contact_id]
        (run,) = await self._walking.runs(unit, around, [row], {contact.id: contact.time_zone})
        held = Held(unit, around, run, locked.threads[row.contact_id], contact.blocked is not None)
        action = await decide(held)
        await self._walking.tell(unit, workspace_id, [(row, action)], caller)
        await self._walking.settle_ids(unit, workspace_id, [thread.id for thread in held.threads])
        return row

    async def _decide(self, caller: Principal, enrollment_id: UUID, decide: Decision) -> EnrollmentView:
        caller.require("sequences.enrol")

        async def work(unit: UnitOfWork) -> None:
            if await self.decide_in(unit, caller, enrollment_id, decide) is None:
                raise EnrollmentUnknown("there is no such enrollment")

        await self._database.retrying(work)
        async with self._database.snapshot() as unit:
            found: Sequence[Enrollment] = await rows.peek(unit, caller.workspace_id, [enrollment_id])
            (view,) = await rows.views(unit, caller.workspace_id, found)
        return view

    async def _take_back(self, held: Held) -> None:
        if not await self._walking.take_back(held.unit, held.around.workspace_id, held.row):
            raise StepLeft("its message is on its way already", message_id=held.row.message_id)

    async def _stand(self, held: Held) -> None:
        """Nothing about its time has changed: the timer that was cancelled is set again."""
        if held.row.state == "active" and held.row.due_at is not None:
            await self._walking.set_timer(held.unit, held.around.workspace_id, held.row)


def _standing(row: Enrollment) -> dict[str, str | None]:
    return {"state": row.state, "reason": row.reason}


def _require(row: Enrollment, *states: str) -> None:
    if row.state not in states:
        happened = row.reason or row.state
        raise EnrollmentState(f"this enrollment is {row.state}", **_standing(row), what_happened=happened)
