"""All SQL about enrollments and the steps that were tried.

Order of locks: contacts, conversations, then enrollments, each in the order of their ids (docs/scheduler.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from uuid import UUID

from contacts.repository import COLUMNS as CONTACT
from contacts.repository import view as contact_view
from contacts.schemas import ContactView
from inbox.kernel.database import UnitOfWork
from scheduler.sequences.deciding import State
from scheduler.sequences.schemas import ByView, EnrollmentView, NextView, StepView


@dataclass(slots=True)
class Enrollment:
    """A row that this transaction has locked, as it will be written back."""

    id: UUID
    sequence_id: UUID
    sequence_version: int
    follows: bool
    several: bool
    contact_id: UUID
    conversation_id: UUID | None
    assignee_id: UUID | None
    state: State
    reason: str | None
    state_at: datetime
    position: int
    attempt: int
    retries: int
    waits_since: datetime | None
    zone: str
    due_at: datetime | None
    timer_number: int
    message_id: UUID | None
    replied_at: datetime | None
    enrolled_by: UUID
    enrolled_by_name: str
    enrolled_at: datetime
    ended_at: datetime | None
    version: int

    @property
    def timer_key(self) -> str:
        return f"{self.id}/{self.timer_number}"

    @property
    def running(self) -> bool:
        return self.state in ("active", "paused")

    def become(self, state: State, reason: str | None, at: datetime) -> None:
        self.state, self.reason, self.state_at = state, reason, at
        if not self.running:
            self.ended_at, self.due_at = at, None

    def wait_until(self, due_at: datetime, *, since: datetime | None) -> None:
        """The step at ``position`` comes then. Any timer that stands is meant no longer."""
        self.due_at, self.waits_since = due_at, since
        self.timer_number += 1

    def go_to(self, position: int) -> None:
        self.position, self.attempt, self.retries, self.message_id = position, 1, 0, None


WIDTH = len(fields(Enrollment))
COLUMNS = ", ".join(f"e.{one.name}" for one in fields(Enrollment))
STEP = ", ".join(f"t.{one.name}" for one in fields(StepView))
RUNNING = "e.state IN ('active', 'paused')"


# --- locks ------------------------------------------------------------------------------------------------------------


async def lock_contacts(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> dict[UUID, ContactView]:
    """They stay as they are until the commit: nobody blocks or merges them meanwhile."""
    found = await unit.fetch(
        f"SELECT {CONTACT} FROM contacts c WHERE workspace_id = $1 AND id = ANY($2) ORDER BY id FOR SHARE",
        workspace_id,
        list(ids),
    )
    return {row[0]: contact_view(row) for row in found}


async def peek(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> list[Enrollment]:
    """Without a lock: for finding out what to lock first."""
    found = await unit.fetch(
        f"SELECT {COLUMNS} FROM enrollments e WHERE workspace_id = $1 AND id = ANY($2) ORDER BY id",
        workspace_id,
        list(ids),
    )
    return [Enrollment(*row) for row in found]


async def peek_running(unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID]) -> list[Enrollment]:
    found = await unit.fetch(
        f"""SELECT {COLUMNS} FROM enrollments e WHERE workspace_id = $1 AND contact_id = ANY($2) AND {RUNNING}
            ORDER BY id""",
        workspace_id,
        list(contact_ids),
    )
    return [Enrollment(*row) for row in found]


async def lock(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> list[Enrollment]:
    found = await unit.fetch(
        f"SELECT {COLUMNS} FROM enrollments e WHERE workspace_id = $1 AND id = ANY($2) ORDER BY id FOR UPDATE",
        workspace_id,
        list(ids),
    )
    return [Enrollment(*row) for row in found]


async def is_tied(unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID) -> bool:
    """Whether something runs for the contact of this conversation."""
    found: bool = await unit.fetchval(
        f"""SELECT EXISTS (SELECT FROM conversations v JOIN enrollments e ON e.workspace_id = v.workspace_id
                AND e.contact_id = v.contact_id WHERE v.workspace_id = $1 AND v.id = $2 AND {RUNNING})""",
        workspace_id,
        conversation_id,
    )
    return found


async def opted_out(unit: UnitOfWork, workspace_id: UUID, contact_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these contacts who have stopped marketing anywhere."""
    found = await unit.fetch(
        """SELECT DISTINCT contact_id FROM identities WHERE workspace_id = $1 AND contact_id = ANY($2)
           AND marketing_stopped_at IS NOT NULL""",
        workspace_id,
        list(contact_ids),
    )
    return {row[0] for row in found}


# --- writing ----------------------------------------------------------------------------------------------------------


async def insert_many(unit: UnitOfWork, workspace_id: UUID, new: Sequence[Enrollment]) -> set[UUID]:
    """The ids of those that were made; the contacts of the others are in the sequence already."""
    columns = [one.name for one in fields(Enrollment)]
    types = {"UUID": "uuid", "UUID | None": "uuid", "int": "int", "bool": "bool"}
    casts = [
        types.get(str(one.type), "timestamptz" if "datetime" in str(one.type) else "text") for one in fields(Enrollment)
    ]
    unnested = ", ".join(f"${n}::{cast}[]" for n, cast in enumerate(casts, 2))
    found = await unit.fetch(
        f"""INSERT INTO enrollments (workspace_id, {", ".join(columns)}) SELECT $1, * FROM unnest({unnested})
            ON CONFLICT (workspace_id, contact_id, sequence_id) WHERE state IN ('active', 'paused') AND NOT several
            DO NOTHING RETURNING id""",
        workspace_id,
        *([getattr(one, column) for one in new] for column in columns),
    )
    return {row[0] for row in found}


SAVED = (
    "sequence_version", "follows", "conversation_id", "assignee_id", "state", "reason", "state_at", "position",
    "attempt", "retries", "waits_since", "zone", "due_at", "timer_number", "message_id", "replied_at", "ended_at",
)  # fmt: skip


async def save(unit: UnitOfWork, workspace_id: UUID, row: Enrollment) -> None:
    row.version += 1
    assignments = ", ".join(f"{column} = ${n}" for n, column in enumerate(SAVED, 4))
    await unit.execute(
        f"UPDATE enrollments SET version = $3, {assignments} WHERE workspace_id = $1 AND id = $2",
        workspace_id,
        row.id,
        row.version,
        *(getattr(row, column) for column in SAVED),
    )


async def put_step(unit: UnitOfWork, workspace_id: UUID, enrollment_id: UUID, step: StepView) -> None:
    """Write what was tried; under its number, or (0) as the next one."""
    await unit.execute(
        """
        INSERT INTO enrollment_steps AS t (workspace_id, enrollment_id, number, step_key, attempt, state, reason,
            message_id, conversation_id, channel_id, fell_back, lateness_ms, at)
        SELECT $1, $2, CASE WHEN $3 > 0 THEN $3 ELSE coalesce(max(number), 0) + 1 END, $4, $5, $6, $7, $8, $9, $10, $11,
            $12, $13
        FROM enrollment_steps WHERE workspace_id = $1 AND enrollment_id = $2
        ON CONFLICT (workspace_id, enrollment_id, number) DO UPDATE SET state = $6, reason = $7, at = $13
        """,
        workspace_id,
        enrollment_id,
        step.number,
        step.step_key,
        step.attempt,
        step.state,
        step.reason,
        step.message_id,
        step.conversation_id,
        step.channel_id,
        step.fell_back,
        step.lateness_ms,
        step.at,
    )


async def find_step(unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> StepView | None:
    row = await unit.fetchrow(
        f"SELECT {STEP} FROM enrollment_steps t WHERE workspace_id = $1 AND message_id = $2", workspace_id, message_id
    )
    return None if row is None else StepView(*row)


async def steps_of(unit: UnitOfWork, workspace_id: UUID, ids: Sequence[UUID]) -> dict[UUID, list[StepView]]:
    found = await unit.fetch(
        f"""SELECT t.enrollment_id, {STEP} FROM enrollment_steps t WHERE workspace_id = $1 AND enrollment_id = ANY($2)
            ORDER BY enrollment_id, number""",
        workspace_id,
        list(ids),
    )
    steps: dict[UUID, list[StepView]] = {}
    for row in found:
        steps.setdefault(row[0], []).append(StepView(*tuple(row)[1:]))
    return steps


async def message_status(unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> str | None:
    found: str | None = await unit.fetchval(
        "SELECT status FROM messages WHERE workspace_id = $1 AND id = $2", workspace_id, message_id
    )
    return found


# --- following what became one ----------------------------------------------------------------------------------------


async def follow_thread(unit: UnitOfWork, workspace_id: UUID, merged: UUID, target: UUID) -> None:
    for table in ("enrollments", "enrollment_steps"):
        await unit.execute(
            f"UPDATE {table} SET conversation_id = $3 WHERE workspace_id = $1 AND conversation_id = $2",
            workspace_id,
            merged,
            target,
        )


async def doubles(unit: UnitOfWork, workspace_id: UUID, merged: UUID, survivor: UUID) -> list[Enrollment]:
    """Running enrollments of ``merged``, locked, in sequences in which ``survivor`` is, too, and may not be twice."""
    found = await unit.fetch(
        f"""SELECT {COLUMNS} FROM enrollments e WHERE e.workspace_id = $1 AND e.contact_id = $2 AND {RUNNING}
              AND NOT e.several AND EXISTS (
                SELECT FROM enrollments o WHERE o.workspace_id = $1 AND o.contact_id = $3
                  AND o.sequence_id = e.sequence_id AND o.state IN ('active', 'paused') AND NOT o.several)
            ORDER BY e.id FOR UPDATE""",
        workspace_id,
        merged,
        survivor,
    )
    return [Enrollment(*row) for row in found]


async def follow_contact(unit: UnitOfWork, workspace_id: UUID, merged: UUID, survivor: UUID) -> list[UUID]:
    """The running ones among those that moved."""
    found = await unit.fetch(
        """UPDATE enrollments SET contact_id = $3 WHERE workspace_id = $1 AND contact_id = $2
           RETURNING id, state IN ('active', 'paused')""",
        workspace_id,
        merged,
        survivor,
    )
    return sorted(row[0] for row in found if row[1])


# --- reading ----------------------------------------------------------------------------------------------------------


async def views(unit: UnitOfWork, workspace_id: UUID, found: Sequence[Enrollment]) -> list[EnrollmentView]:
    if not found:
        return []
    steps = await steps_of(unit, workspace_id, [row.id for row in found])
    named = await unit.fetch(
        """SELECT DISTINCT e.sequence_id, e.number, s.name, ARRAY(
               SELECT step->>'key' FROM jsonb_array_elements(e.definition->'steps') WITH ORDINALITY AS x (step, place)
               ORDER BY place)
           FROM sequence_versions e JOIN sequences s ON s.workspace_id = e.workspace_id AND s.id = e.sequence_id
           WHERE e.workspace_id = $1 AND (e.sequence_id, e.number) IN (SELECT * FROM unnest($2::uuid[], $3::int[]))""",
        workspace_id,
        [row.sequence_id for row in found],
        [row.sequence_version for row in found],
    )
    sequences: Mapping[tuple[UUID, int], tuple[str, list[str]]] = {(row[0], row[1]): (row[2], row[3]) for row in named}
    return [_view(row, *sequences[row.sequence_id, row.sequence_version], steps.get(row.id, [])) for row in found]


def _view(row: Enrollment, name: str, keys: Sequence[str], steps: list[StepView]) -> EnrollmentView:
    following = None
    if row.running and row.position < len(keys):
        due_at = row.due_at if row.state == "active" else None
        following = NextView(keys[row.position], row.position, row.attempt, due_at, row.message_id)
    return EnrollmentView(
        id=row.id,
        sequence_id=row.sequence_id,
        sequence_name=name,
        sequence_version=row.sequence_version,
        follows=row.follows,
        contact_id=row.contact_id,
        conversation_id=row.conversation_id,
        state=row.state,
        reason=row.reason,
        state_at=row.state_at,
        next=following,
        steps=steps,
        replied_at=row.replied_at,
        enrolled_by=ByView(row.enrolled_by, row.enrolled_by_name),
        enrolled_at=row.enrolled_at,
        ended_at=row.ended_at,
        version=row.version,
    )


async def page(
    unit: UnitOfWork,
    workspace_id: UUID,
    *,
    sequence_id: UUID | None = None,
    contact_id: UUID | None = None,
    states: Sequence[str],
    after: UUID | None,
    limit: int,
) -> list[EnrollmentView]:
    """In the order of enrolment, above ``after``."""
    found = await unit.fetch(
        f"""SELECT {COLUMNS} FROM enrollments e WHERE workspace_id = $1 AND ($2::uuid IS NULL OR sequence_id = $2)
              AND ($3::uuid IS NULL OR contact_id = $3) AND (cardinality($4::text[]) = 0 OR state = ANY($4))
              AND ($5::uuid IS NULL OR id > $5) ORDER BY id LIMIT $6""",
        workspace_id,
        sequence_id,
        contact_id,
        list(states),
        after,
        limit,
    )
    return await views(unit, workspace_id, [Enrollment(*row) for row in found])


async def running_of(
    unit: UnitOfWork, workspace_id: UUID, sequence_id: UUID, contact_ids: Sequence[UUID]
) -> dict[UUID, UUID]:
    """The enrollment that keeps each of these contacts from being enrolled again."""
    found = await unit.fetch(
        f"""SELECT contact_id, id FROM enrollments e WHERE workspace_id = $1 AND sequence_id = $2
              AND contact_id = ANY($3) AND {RUNNING} AND NOT several""",
        workspace_id,
        sequence_id,
        list(contact_ids),
    )
    return {row[0]: row[1] for row in found}


def renumbered(step: StepView, *, state: str, reason: str | None, at: datetime) -> StepView:
    return replace(step, state=state, reason=reason, at=at)  # type: ignore[arg-type]
