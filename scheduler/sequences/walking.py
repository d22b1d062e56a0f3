"""Leading an enrollment from step to step, and writing down how it stands.

Invariant: whoever calls holds the row's lock (and that of the conversations it talks in). A new wait always gets a
timer of a new name, so nothing here waits for a clock, and a timer of an older name finds that it is not meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from channels.types import Fault
from contacts.repository import views as contact_views
from inbox.agents.principal import Principal
from inbox.agents.workspaces import WorkspaceTimes, find_times
from inbox.audit import service as audit
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.delivery.withdrawing import withdraw
from inbox.kernel.database import UnitOfWork
from inbox.kernel.hours import Hours, Quiet
from inbox.kernel.timers import set_timer
from scheduler.sequences import enrollment_rows as rows
from scheduler.sequences import events
from scheduler.sequences import repository as sequence_rows
from scheduler.sequences.definition import Definition, StepIn
from scheduler.sequences.enrollment_rows import Enrollment
from scheduler.sequences.progress import NOW, Again, Hold, Move, Next, Stay, Stop
from scheduler.sequences.schemas import StepView
from scheduler.ties import Ties

KIND: Final = "sequence.step"
"""Of the timers; their keys are ``Enrollment.timer_key``."""
SUBJECT: Final = "enrollment"
STOPPED: Final = Fault("withdrawn", "Taken back: the sequence was stopped before it was sent.")


@dataclass(slots=True)
class Round:
    """What one transaction needs to know of one workspace. ``now`` is the database's."""

    workspace_id: UUID
    now: datetime
    times: WorkspaceTimes
    definitions: dict[tuple[UUID, int], Definition] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """An enrollment with what it runs on. ``zone``: the one that counts for the contact now."""

    row: Enrollment
    definition: Definition
    zone: str

    @property
    def step(self) -> StepIn | None:
        steps = self.definition.steps
        return steps[self.row.position] if self.row.position < len(steps) else None


class Walking:
    def __init__(self, ties: Ties) -> None:
        self._ties = ties

    async def round(self, unit: UnitOfWork, workspace_id: UUID) -> Round:
        return Round(workspace_id, await unit.time(), await find_times(unit, workspace_id))

    async def runs(
        self,
        unit: UnitOfWork,
        around: Round,
        found: Sequence[Enrollment],
        zones: Mapping[UUID, str | None] | None = None,
    ) -> list[Run]:
        """``zones`` of the contacts, by id, where they were read already."""
        if zones is None:
            people = await contact_views(unit, around.workspace_id, sorted({row.contact_id for row in found}))
            zones = {one.id: one.time_zone for one in people}
        return [
            Run(
                row,
                await self.definition(unit, around, row.sequence_id, row.sequence_version),
                zones.get(row.contact_id) or around.times.time_zone,
            )
            for row in found
        ]

    async def definition(self, unit: UnitOfWork, around: Round, sequence_id: UUID, number: int) -> Definition:
        key = (sequence_id, number)
        if key not in around.definitions:
            stored = await sequence_rows.definition(unit, around.workspace_id, sequence_id, number)
            around.definitions[key] = Definition.model_validate(stored)
        return around.definitions[key]

    # --- steps --------------------------------------------------------------------------------------------------------

    async def wait(self, unit: UnitOfWork, around: Round, run: Run, *, since: datetime | None = None) -> None:
        """Let the step at the row's position wait, from ``since`` or from now on; finish where there is none."""
        row, step = run.row, run.step
        if step is None:
            row.become("finished", None, around.now)
            return
        begun = since or around.now
        quiet, business = hours(around, run, step)
        ends = step.wait.wait().ends(begun, run.zone, quiet, business)
        if ends is None:
            row.become("paused", "never_open", around.now)
            return
        row.zone = run.zone
        row.wait_until(ends, since=begun)
        await self.set_timer(unit, around.workspace_id, row)

    async def wait_until(self, unit: UnitOfWork, around: Round, run: Run, due_at: datetime) -> None:
        """A time that was set by other means than the wait of the step."""
        run.row.zone = run.zone
        run.row.wait_until(due_at, since=None)
        await self.set_timer(unit, around.workspace_id, run.row)

    async def set_timer(self, unit: UnitOfWork, workspace_id: UUID, row: Enrollment) -> None:
        assert row.due_at is not None, "a timer without a time"
        await set_timer(unit, workspace_id, KIND, row.timer_key, row.due_at)

    async def apply(self, unit: UnitOfWork, around: Round, run: Run, move: Move) -> None:
        """Also on a row that is paused or has ended: then it only learns where it would go on."""
        row = run.row
        match move:
            case Stay():
                return
            case Next():
                row.go_to(row.position + 1)
                if row.state == "active":
                    await self.wait(unit, around, run)
            case Again(after=after, counts=counts):
                row.message_id, row.attempt, row.retries = None, row.attempt + 1, row.retries + counts
                if row.state == "active":
                    await self.wait_until(unit, around, run, around.now + max(after, NOW))
            case Stop(reason=reason) if row.running:
                row.message_id = None
                row.become("stopped", reason, around.now)
            case Hold(reason=reason) if row.running:
                row.message_id, row.attempt, row.due_at = None, row.attempt + 1, None
                row.become("paused", reason, around.now)
            case _:
                row.message_id = None

    async def note(
        self,
        unit: UnitOfWork,
        around: Round,
        run: Run,
        state: str,
        reason: str | None,
        *,
        message_id: UUID | None = None,
        place: Thread | None = None,
        fell_back: bool = False,
        late: timedelta | None = None,
    ) -> None:
        """Write down what came of the step at the row's position."""
        assert run.step is not None, "a step that is not there was noted"
        step = StepView(
            number=0,
            step_key=run.step.key,
            attempt=run.row.attempt,
            state=state,  # type: ignore[arg-type]
            reason=reason,
            message_id=message_id,
            conversation_id=None if place is None else place.id,
            channel_id=None if place is None else place.channel_id,
            fell_back=fell_back,
            lateness_ms=None if late is None else round(late.total_seconds() * 1000),
            at=around.now,
        )
        await rows.put_step(unit, around.workspace_id, run.row.id, step)

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def take_back(self, unit: UnitOfWork, workspace_id: UUID, row: Enrollment) -> bool:
        """What is queued of it; the lock of its conversation is held. ``False``: it is on its way already.

        The message says so in the log, and the enrollment hears that like everybody else.
        """
        if row.message_id is None or row.conversation_id is None:
            return True
        return await withdraw(unit, workspace_id, row.conversation_id, row.message_id, STOPPED)

    async def tell(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        changed: Iterable[tuple[Enrollment, str]],
        actor: Principal | None,
        detail: Mapping[str, object] | None = None,
    ) -> None:
        """Write the rows, and tell the log and the audit trail. ``changed``: with what was done to each."""
        told = list(changed)
        if not told:
            return
        for row, _ in told:
            await rows.save(unit, workspace_id, row)
        views = await rows.views(unit, workspace_id, [row for row, _ in told])
        for (row, action), view in zip(told, views, strict=True):
            unit.record(events.enrollment_updated(workspace_id, view))
            said = {"state": row.state, "reason": row.reason, "position": row.position, **(detail or {})}
            await audit.record(unit, workspace_id, actor, f"enrollment.{action}", SUBJECT, row.id, said)

    async def settle(self, unit: UnitOfWork, workspace_id: UUID, threads: Iterable[Thread]) -> None:
        for thread in threads:
            await self._ties.settle(unit, workspace_id, thread)

    async def settle_ids(self, unit: UnitOfWork, workspace_id: UUID, ids: Iterable[UUID]) -> None:
        """Of conversations that this transaction holds, as they are now."""
        await self.settle(unit, workspace_id, await thread_rows.lock_many(unit, workspace_id, [], sorted(set(ids))))


def hours(around: Round, run: Run, step: StepIn) -> tuple[Quiet | None, Hours | None]:
    """In which this step may not, and may only, go out."""
    quiet = around.times.quiet(run.zone) if step.wait.quiet_hours else None
    return quiet, around.times.business if step.wait.business_hours else None
