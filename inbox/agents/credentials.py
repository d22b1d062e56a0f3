"""All SQL about tokens, socket tickets and the log-in throttle. Only digests come here, never a token.

A token is *good* when it is neither revoked nor expired and its agent is not disabled; ``GOOD`` says it once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from inbox.agents.principal import Principal
from inbox.agents.schemas import TokenView
from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork

GOOD = "t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now()) AND a.disabled_at IS NULL"
PRINCIPAL = "t.workspace_id, a.id, a.name, a.role, t.id, t.scopes"
TOKEN = "t.id, t.agent_id, t.kind, t.name, t.hint, t.scopes, t.created_at, t.expires_at, t.last_used_at"  # noqa: S105
OF_TOKEN = "agents a ON a.workspace_id = t.workspace_id AND a.id = t.agent_id"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Bearer:
    principal: Principal
    seconds_left: float | None
    """Until the token expires; ``None``: it does not."""


def principal(row: asyncpg.Record) -> Principal:
    return Principal(row[0], row[1], row[2], row[3], row[4], frozenset(row[5]))


def token(row: asyncpg.Record) -> TokenView:
    return TokenView(*row)


# --- tokens -----------------------------------------------------------------------------------------------------------


async def find_bearer(connection: Connection, digest: bytes) -> Bearer | None:
    row = await connection.fetchrow(
        f"""
        SELECT {PRINCIPAL}, extract(epoch FROM t.expires_at - now())::float8
        FROM tokens t JOIN {OF_TOKEN} WHERE t.digest = $1 AND {GOOD}
        """,
        digest,
    )
    return None if row is None else Bearer(principal(row), row[6])


async def find_good(connection: Connection, workspace_id: UUID, token_id: UUID) -> Principal | None:
    row = await connection.fetchrow(
        f"SELECT {PRINCIPAL} FROM tokens t JOIN {OF_TOKEN} WHERE t.workspace_id = $1 AND t.id = $2 AND {GOOD}",
        workspace_id,
        token_id,
    )
    return None if row is None else principal(row)


async def insert_token(
    unit: UnitOfWork,
    workspace_id: UUID,
    token_id: UUID,
    agent_id: UUID,
    *,
    name: str,
    hint: str,
    digest: bytes,
    scopes: Collection[str],
    expires_at: datetime | None,
) -> TokenView:
    row = await unit.fetchrow(
        f"""
        INSERT INTO tokens AS t (workspace_id, id, agent_id, kind, name, hint, digest, scopes, expires_at)
        VALUES ($1, $2, $3, 'api', $4, $5, $6, $7, $8) RETURNING {TOKEN}
        """,
        workspace_id,
        token_id,
        agent_id,
        name,
        hint,
        digest,
        list(scopes),
        expires_at,
    )
    assert row is not None
    return token(row)


async def insert_session(
    unit: UnitOfWork,
    workspace_id: UUID,
    token_id: UUID,
    agent_id: UUID,
    *,
    verified_hash: str,
    name: str,
    hint: str,
    digest: bytes,
    hours: float,
) -> datetime | None:
    """When it expires; ``None`` when the password was changed or the agent disabled since the hash was verified."""
    expires_at: datetime | None = await unit.fetchval(
        """
        WITH verified AS (
            SELECT id FROM agents
            WHERE workspace_id = $1 AND id = $3 AND disabled_at IS NULL AND password_hash = $4 FOR SHARE
        )
        INSERT INTO tokens (workspace_id, id, agent_id, kind, name, hint, digest, expires_at)
        SELECT $1, $2, verified.id, 'session', $5, $6, $7, now() + $8 * interval '1 hour' FROM verified
        RETURNING expires_at
        """,
        workspace_id,
        token_id,
        agent_id,
        verified_hash,
        name,
        hint,
        digest,
        hours,
    )
    return expires_at


async def token_page(
    connection: Connection, workspace_id: UUID, *, agent_id: UUID | None, after: UUID | None, limit: int
) -> list[TokenView]:
    """Tokens that can still be used, newest first, of one agent or of all."""
    rows = await connection.fetch(
        f"""
        SELECT {TOKEN} FROM tokens t
        WHERE t.workspace_id = $1 AND ($2::uuid IS NULL OR t.agent_id = $2) AND ($3::uuid IS NULL OR t.id < $3)
          AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
        ORDER BY t.id DESC LIMIT $4
        """,
        workspace_id,
        agent_id,
        after,
        limit,
    )
    return [token(row) for row in rows]


async def revoke(unit: UnitOfWork, workspace_id: UUID, token_id: UUID, *, agent_id: UUID | None) -> bool:
    """Whether there was such a token, of this agent if one is named. Revoking twice is no error."""
    found = await unit.fetchval(
        """
        UPDATE tokens SET revoked_at = coalesce(revoked_at, now())
        WHERE workspace_id = $1 AND id = $2 AND ($3::uuid IS NULL OR agent_id = $3) RETURNING true
        """,
        workspace_id,
        token_id,
        agent_id,
    )
    return bool(found)


async def revoke_sessions(unit: UnitOfWork, workspace_id: UUID, agent_id: UUID, *, but: UUID | None = None) -> None:
    await unit.execute(
        """
        UPDATE tokens SET revoked_at = now()
        WHERE workspace_id = $1 AND agent_id = $2 AND kind = 'session' AND revoked_at IS NULL
          AND ($3::uuid IS NULL OR id <> $3)
        """,
        workspace_id,
        agent_id,
        but,
    )


async def mark_used(unit: UnitOfWork, used: Sequence[tuple[UUID, UUID]]) -> None:
    """``used``: (workspace, token), sorted, so that nodes that write at once do not wait for each other in a circle."""
    await unit.execute(
        """
        WITH used AS (
            SELECT t.workspace_id, t.id FROM tokens t
            JOIN unnest($1::uuid[], $2::uuid[]) AS u (workspace_id, id) USING (workspace_id, id)
            ORDER BY t.workspace_id, t.id FOR NO KEY UPDATE OF t
        )
        UPDATE tokens t SET last_used_at = now() FROM used WHERE t.workspace_id = used.workspace_id AND t.id = used.id
        """,
        [workspace_id for workspace_id, _ in used],
        [token_id for _, token_id in used],
    )


# --- tickets ----------------------------------------------------------------------------------------------------------


async def insert_ticket(unit: UnitOfWork, digest: bytes, caller: Principal, *, seconds: int) -> datetime:
    """When it expires."""
    expires_at: datetime = await unit.fetchval(
        """
        INSERT INTO tickets (digest, workspace_id, agent_id, token_id, expires_at)
        VALUES ($1, $2, $3, $4, now() + $5 * interval '1 second') RETURNING expires_at
        """,
        digest,
        caller.workspace_id,
        caller.agent_id,
        caller.token_id,
        seconds,
    )
    return expires_at


async def take_ticket(unit: UnitOfWork, digest: bytes) -> Principal | None:
    """Deletes the ticket: of several who come at once, one finds the row. The caller has to be good still."""
    row = await unit.fetchrow(
        f"""
        WITH taken AS (DELETE FROM tickets WHERE digest = $1 RETURNING workspace_id, token_id, expires_at)
        SELECT {PRINCIPAL} FROM taken
        JOIN tokens t ON t.workspace_id = taken.workspace_id AND t.id = taken.token_id
        JOIN {OF_TOKEN} WHERE taken.expires_at > now() AND {GOOD}
        """,
        digest,
    )
    return None if row is None else principal(row)


# --- the log-in throttle ----------------------------------------------------------------------------------------------


async def raise_level(unit: UnitOfWork, key: str, *, most: float, per_second: float) -> float | None:
    """Count one attempt unless that passes ``most``: then the level as it is. ``None``: it was counted."""
    counted = await unit.fetchval(
        """
        INSERT INTO login_throttle AS l (key, level, updated_at) VALUES ($1, 1, now())
        ON CONFLICT (key) DO UPDATE
        SET level = greatest(0, l.level - $3 * extract(epoch FROM now() - l.updated_at)::float8) + 1, updated_at = now()
        WHERE greatest(0, l.level - $3 * extract(epoch FROM now() - l.updated_at)::float8) + 1 <= $2
        RETURNING true
        """,
        key,
        most,
        per_second,
    )
    if counted:
        return None
    level: float = await unit.fetchval(
        """
        SELECT greatest(0, level - $2 * extract(epoch FROM now() - updated_at)::float8)
        FROM login_throttle WHERE key = $1
        """,
        key,
        per_second,
    )
    return level


async def lower_level(unit: UnitOfWork, key: str) -> None:
    """Take one attempt back."""
    await unit.execute("UPDATE login_throttle SET level = greatest(0, level - 1) WHERE key = $1", key)


async def forget_level(unit: UnitOfWork, key: str) -> None:
    await unit.execute("DELETE FROM login_throttle WHERE key = $1", key)
