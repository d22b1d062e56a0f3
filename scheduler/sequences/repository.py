"""All SQL about sequences and their versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from inbox.kernel.database import UnitOfWork
from scheduler.sequences.schemas import SequenceCounts, SequenceView, StepCount, VersionView

COLUMNS = """s.id, s.name, s.state, s.draft, s.published, s.changed, s.created_by, s.version, s.created_at,
    s.updated_at"""
VERSION = "number, definition, published_by, published_by_name, published_at"


def view(row: asyncpg.Record) -> SequenceView:
    return SequenceView(*row)


async def insert(
    unit: UnitOfWork, workspace_id: UUID, sequence_id: UUID, name: str, draft: Mapping[str, Any], created_by: UUID
) -> SequenceView:
    row = await unit.fetchrow(
        f"""INSERT INTO sequences AS s (workspace_id, id, name, draft, created_by) VALUES ($1, $2, $3, $4, $5)
            RETURNING {COLUMNS}""",
        workspace_id,
        sequence_id,
        name,
        draft,
        created_by,
    )
    assert row is not None
    return view(row)


async def find(unit: UnitOfWork, workspace_id: UUID, sequence_id: UUID, *, lock: str = "") -> SequenceView | None:
    """``lock``: ``UPDATE`` to change it; ``SHARE``: it stays as it is until the commit."""
    row = await unit.fetchrow(
        f"""SELECT {COLUMNS} FROM sequences s WHERE workspace_id = $1 AND id = $2
            {f"FOR {lock}" if lock else ""}""",
        workspace_id,
        sequence_id,
    )
    return None if row is None else view(row)


async def find_many(unit: UnitOfWork, workspace_id: UUID, ids: Collection[UUID]) -> dict[UUID, SequenceView]:
    found = await unit.fetch(
        f"SELECT {COLUMNS} FROM sequences s WHERE workspace_id = $1 AND id = ANY($2)", workspace_id, list(ids)
    )
    return {row[0]: view(row) for row in found}


async def update(unit: UnitOfWork, workspace_id: UUID, sequence_id: UUID, fields: Mapping[str, object]) -> SequenceView:
    assignments = "".join(f"{column} = ${n}, " for n, column in enumerate(fields, 3))
    row = await unit.fetchrow(
        f"""UPDATE sequences s SET {assignments} version = version + 1, updated_at = now()
            WHERE workspace_id = $1 AND id = $2 RETURNING {COLUMNS}""",
        workspace_id,
        sequence_id,
        *fields.values(),
    )
    assert row is not None
    return view(row)


async def page(
    unit: UnitOfWork, workspace_id: UUID, *, states: Sequence[str], after: UUID | None, limit: int
) -> list[SequenceView]:
    """Oldest first, above ``after``."""
    found = await unit.fetch(
        f"""SELECT {COLUMNS} FROM sequences s WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id > $2)
              AND (cardinality($3::text[]) = 0 OR state = ANY($3)) ORDER BY id LIMIT $4""",
        workspace_id,
        after,
        list(states),
        limit,
    )
    return [view(row) for row in found]


# --- versions ---------------------------------------------------------------------------------------------------------


async def insert_version(
    unit: UnitOfWork,
    workspace_id: UUID,
    sequence_id: UUID,
    number: int,
    definition: Mapping[str, Any],
    by: UUID,
    by_name: str,
) -> None:
    await unit.execute(
        """INSERT INTO sequence_versions (workspace_id, sequence_id, number, definition, published_by,
               published_by_name) VALUES ($1, $2, $3, $4, $5, $6)""",
        workspace_id,
        sequence_id,
        number,
        definition,
        by,
        by_name,
    )


async def versions(unit: UnitOfWork, workspace_id: UUID, sequence_id: UUID) -> list[VersionView]:
    """Newest first."""
    found = await unit.fetch(
        f"""SELECT {VERSION} FROM sequence_versions WHERE workspace_id = $1 AND sequence_id = $2
            ORDER BY number DESC LIMIT 200""",
        workspace_id,
        sequence_id,
    )
    return [VersionView(*row) for row in found]


async def definition(unit: UnitOfWork, workspace_id: UUID, sequence_id: UUID, number: int) -> dict[str, Any]:
    found: dict[str, Any] = await unit.fetchval(
        "SELECT definition FROM sequence_versions WHERE workspace_id = $1 AND sequence_id = $2 AND number = $3",
        workspace_id,
        sequence_id,
        number,
    )
    return found


# --- counts -----------------------------------------------------------------------------------------------------------

STATES = ("queued", "sent", "uncertain", "failed", "cancelled", "skipped")


async def counts(unit: UnitOfWork, workspace_id: UUID, sequence_id: UUID, keys: Sequence[str]) -> SequenceCounts:
    """``keys``: of the newest version, in order."""
    states = await unit.fetch(
        "SELECT state, count(*) FROM enrollments WHERE workspace_id = $1 AND sequence_id = $2 GROUP BY state",
        workspace_id,
        sequence_id,
    )
    waiting = await unit.fetch(
        """SELECT v.definition->'steps'->e.position->>'key', count(*)
           FROM enrollments e JOIN sequence_versions v ON v.workspace_id = e.workspace_id
                AND v.sequence_id = e.sequence_id AND v.number = e.sequence_version
           WHERE e.workspace_id = $1 AND e.sequence_id = $2 AND e.state IN ('active', 'paused')
                 AND e.message_id IS NULL GROUP BY 1""",
        workspace_id,
        sequence_id,
    )
    done = await unit.fetch(
        """SELECT t.step_key, t.state, count(*) FROM enrollment_steps t JOIN enrollments e
               ON e.workspace_id = t.workspace_id AND e.id = t.enrollment_id
           WHERE e.workspace_id = $1 AND e.sequence_id = $2 GROUP BY 1, 2""",
        workspace_id,
        sequence_id,
    )
    by_key = {row[0]: row[1] for row in waiting if row[0] is not None}
    by_state = {(row[0], row[1]): row[2] for row in done}
    known = dict.fromkeys([*keys, *sorted({*by_key, *(key for key, _ in by_state)})])
    return SequenceCounts(
        enrollments={row[0]: row[1] for row in states},
        steps=[
            StepCount(key, by_key.get(key, 0), *(by_state.get((key, state), 0) for state in STATES)) for key in known
        ],
    )
