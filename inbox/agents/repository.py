"""All SQL about workspaces and agents. Credentials have their own: ``credentials``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from inbox.agents.schemas import AgentView, WorkspaceDetail, WorkspaceView
from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork

WORKSPACE = "w.id, w.name, w.time_zone, w.business_hours, w.quiet_hours"
AGENT = "a.id, a.name, a.email, a.role, a.disabled_at IS NOT NULL AS disabled, a.created_at"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody whom an e-mail could mean, with the hash that a password has to match."""

    workspace: WorkspaceView
    agent: AgentView
    password_hash: str = field(repr=False)


def view(row: asyncpg.Record | None) -> AgentView | None:
    return None if row is None else AgentView(*row)


async def insert_workspace(unit: UnitOfWork, workspace_id: UUID, name: str, epoch: UUID) -> None:
    """The workspace with an empty event log."""
    await unit.execute("INSERT INTO workspaces (id, name) VALUES ($1, $2)", workspace_id, name)
    await unit.execute("INSERT INTO event_logs (workspace_id, epoch) VALUES ($1, $2)", workspace_id, epoch)


async def get_workspace(connection: Connection, workspace_id: UUID) -> WorkspaceView:
    row = await connection.fetchrow("SELECT id, name FROM workspaces WHERE id = $1", workspace_id)
    if row is None:
        raise LookupError("there is no such workspace")
    return WorkspaceView(*row)


async def find_workspace(unit: UnitOfWork, workspace_id: UUID) -> WorkspaceDetail:
    row = await unit.fetchrow(f"SELECT {WORKSPACE} FROM workspaces w WHERE w.id = $1", workspace_id)
    assert row is not None
    return WorkspaceDetail(*row)


async def update_workspace(unit: UnitOfWork, workspace_id: UUID, fields: Mapping[str, object]) -> WorkspaceDetail:
    """``fields``: name, time_zone, business_hours, quiet_hours."""
    assignments = ", ".join(f"{column} = ${n}" for n, column in enumerate(fields, 2))
    row = await unit.fetchrow(
        f"UPDATE workspaces w SET {assignments} WHERE w.id = $1 RETURNING {WORKSPACE}", workspace_id, *fields.values()
    )
    assert row is not None
    return WorkspaceDetail(*row)


async def insert(
    unit: UnitOfWork,
    workspace_id: UUID,
    agent_id: UUID,
    *,
    name: str,
    role: str,
    email: str | None = None,
    password_hash: str | None = None,
) -> AgentView | None:
    """``None`` when the e-mail is taken in this workspace."""
    return view(
        await unit.fetchrow(
            f"""
            INSERT INTO agents AS a (workspace_id, id, name, email, role, password_hash)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (workspace_id, email) DO NOTHING RETURNING {AGENT}
            """,
            workspace_id,
            agent_id,
            name,
            email,
            role,
            password_hash,
        )
    )


async def page(connection: Connection, workspace_id: UUID, *, after: UUID | None, limit: int) -> list[AgentView]:
    """Oldest first, above ``after``."""
    rows = await connection.fetch(
        f"""
        SELECT {AGENT} FROM agents a WHERE a.workspace_id = $1 AND ($2::uuid IS NULL OR a.id > $2)
        ORDER BY a.id LIMIT $3
        """,
        workspace_id,
        after,
        limit,
    )
    return [AgentView(*row) for row in rows]


async def find(connection: Connection, workspace_id: UUID, agent_id: UUID) -> AgentView | None:
    return view(
        await connection.fetchrow(
            f"SELECT {AGENT} FROM agents a WHERE a.workspace_id = $1 AND a.id = $2", workspace_id, agent_id
        )
    )


async def lock_with_admins(unit: UnitOfWork, workspace_id: UUID, agent_id: UUID) -> list[AgentView]:
    """The agent and every admin who can log in, locked in the order of their ids: who is the last one is then sure."""
    rows = await unit.fetch(
        f"""
        SELECT {AGENT} FROM agents a
        WHERE a.workspace_id = $1 AND (a.id = $2 OR (a.role = 'admin' AND a.disabled_at IS NULL))
        ORDER BY a.id FOR UPDATE
        """,
        workspace_id,
        agent_id,
    )
    return [AgentView(*row) for row in rows]


async def update(unit: UnitOfWork, workspace_id: UUID, agent_id: UUID, fields: Mapping[str, object]) -> AgentView:
    """``fields``: name, role, password_hash, and ``disabled`` as a truth value."""
    assignments = ", ".join(
        f"disabled_at = CASE WHEN ${n}::bool THEN coalesce(disabled_at, now()) END"
        if column == "disabled"
        else f"{column} = ${n}"
        for n, column in enumerate(fields, 3)
    )
    row = await unit.fetchrow(
        f"UPDATE agents a SET {assignments} WHERE a.workspace_id = $1 AND a.id = $2 RETURNING {AGENT}",
        workspace_id,
        agent_id,
        *fields.values(),
    )
    assert row is not None
    return AgentView(*row)


async def candidates(connection: Connection, email: str, workspace_id: UUID | None, *, limit: int) -> list[Candidate]:
    """Everybody with this e-mail who may log in, in one workspace or in all."""
    rows = await connection.fetch(
        f"""
        SELECT w.id AS workspace_id, w.name AS workspace_name, {AGENT}, a.password_hash
        FROM agents a JOIN workspaces w ON w.id = a.workspace_id
        WHERE a.email = $1 AND a.disabled_at IS NULL AND a.password_hash IS NOT NULL
          AND ($2::uuid IS NULL OR a.workspace_id = $2)
        ORDER BY w.id LIMIT $3
        """,
        email,
        workspace_id,
        limit,
    )
    return [Candidate(WorkspaceView(row[0], row[1]), AgentView(*tuple(row)[2:8]), row[8]) for row in rows]


async def password_hash(connection: Connection, workspace_id: UUID, agent_id: UUID) -> str | None:
    found: str | None = await connection.fetchval(
        "SELECT password_hash FROM agents WHERE workspace_id = $1 AND id = $2", workspace_id, agent_id
    )
    return found


async def replace_password(unit: UnitOfWork, workspace_id: UUID, agent_id: UUID, *, before: str, after: str) -> bool:
    """False when the password was changed meanwhile."""
    changed = await unit.fetchval(
        """
        UPDATE agents SET password_hash = $4 WHERE workspace_id = $1 AND id = $2 AND password_hash = $3
        RETURNING true
        """,
        workspace_id,
        agent_id,
        before,
        after,
    )
    return bool(changed)
