"""All SQL about provider apps and channels. Secrets come and go sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg

from inbox.kernel.connection import Connection
from inbox.kernel.database import UnitOfWork


@dataclass(frozen=True, slots=True)
class AppRow:
    id: UUID
    workspace_id: UUID | None
    provider: str
    name: str
    endpoint_key: str
    account_id: str | None
    secrets: bytes = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelRow:
    workspace_id: UUID
    id: UUID
    app_id: UUID
    kind: str
    account_id: str
    name: str
    token: bytes = field(repr=False)
    api_base: str | None
    options: Mapping[str, str]
    state: str
    health: str
    health_reason: str | None
    health_aspects: Mapping[str, Any]
    token_version: int
    token_set_at: datetime
    token_expires_at: datetime | None
    sending_paused_until: datetime | None
    sending_paused_reason: str | None
    created_at: datetime
    updated_at: datetime | None


APP = "id, workspace_id, provider, name, endpoint_key, account_id, secrets, created_at"
CHANNEL = """workspace_id, id, provider_app_id, kind, account_id, name, token, api_base, options, state, health,
    health_reason, health_aspects, token_version, token_set_at, token_expires_at, sending_paused_until,
    sending_paused_reason, created_at, updated_at"""


def app(row: asyncpg.Record | None) -> AppRow | None:
    return None if row is None else AppRow(*row)


def channel(row: asyncpg.Record | None) -> ChannelRow | None:
    return None if row is None else ChannelRow(*row)


async def find_app(connection: Connection, endpoint_key: str) -> AppRow | None:
    return app(await connection.fetchrow(f"SELECT {APP} FROM provider_apps WHERE endpoint_key = $1", endpoint_key))


async def find_app_by_id(connection: Connection, app_id: UUID) -> AppRow | None:
    return app(await connection.fetchrow(f"SELECT {APP} FROM provider_apps WHERE id = $1", app_id))


async def find_accounts(connection: Connection, app_id: UUID, account_id: str) -> list[ChannelRow]:
    """The channel of the account; otherwise all whose owner it is. Nobody has proved who owns the accounts of an app of
    the installation: there only the account itself counts."""
    found = await connection.fetch(
        f"""SELECT {CHANNEL} FROM channels WHERE provider_app_id = $1
            AND (account_id = $2 OR (options->>'waba_id' = $2 AND EXISTS (
                SELECT 1 FROM provider_apps a WHERE a.id = $1 AND a.workspace_id = channels.workspace_id)))
            ORDER BY (account_id = $2) DESC, id""",
        app_id,
        account_id,
    )
    channels = [ChannelRow(*row) for row in found]
    return channels[:1] if channels and channels[0].account_id == account_id else channels


async def find_channel(connection: Connection, workspace_id: UUID, channel_id: UUID) -> ChannelRow | None:
    return channel(
        await connection.fetchrow(
            f"SELECT {CHANNEL} FROM channels WHERE workspace_id = $1 AND id = $2", workspace_id, channel_id
        )
    )


# --- what a workspace may see of its apps: its own and those of the installation --------------------------------------


async def app_page(connection: Connection, workspace_id: UUID, *, after: UUID | None, limit: int) -> list[AppRow]:
    """Oldest first, above ``after``."""
    found = await connection.fetch(
        f"""
        SELECT {APP} FROM provider_apps
        WHERE (workspace_id = $1 OR workspace_id IS NULL) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
        """,
        workspace_id,
        after,
        limit,
    )
    return [AppRow(*row) for row in found]


async def find_visible_app(
    connection: Connection, workspace_id: UUID, app_id: UUID, *, lock: Literal["key share", "update"] | None = None
) -> AppRow | None:
    """``key share`` keeps the app from being deleted until the transaction ends."""
    locking = "" if lock is None else f" FOR {lock.upper()}"
    return app(
        await connection.fetchrow(
            f"SELECT {APP} FROM provider_apps WHERE id = $2 AND (workspace_id = $1 OR workspace_id IS NULL){locking}",
            workspace_id,
            app_id,
        )
    )


async def insert_app(
    unit: UnitOfWork,
    workspace_id: UUID,
    app_id: UUID,
    *,
    provider: str,
    name: str,
    endpoint_key: str,
    account_id: str | None,
    secrets: bytes,
) -> AppRow:
    row = await unit.fetchrow(
        f"""
        INSERT INTO provider_apps (id, workspace_id, provider, name, endpoint_key, account_id, secrets)
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {APP}
        """,
        app_id,
        workspace_id,
        provider,
        name,
        endpoint_key,
        account_id,
        secrets,
    )
    assert row is not None
    return AppRow(*row)


async def update_app(unit: UnitOfWork, app_id: UUID, *, name: str, secrets: bytes) -> AppRow:
    row = await unit.fetchrow(
        f"UPDATE provider_apps SET name = $2, secrets = $3 WHERE id = $1 RETURNING {APP}", app_id, name, secrets
    )
    assert row is not None
    return AppRow(*row)


async def delete_app(unit: UnitOfWork, app_id: UUID) -> bool:
    """False when channels are connected through it."""
    try:
        await unit.execute("DELETE FROM provider_apps WHERE id = $1", app_id)
    except asyncpg.ForeignKeyViolationError:
        return False
    return True


# --- channels of a workspace ------------------------------------------------------------------------------------------


async def channel_page(
    connection: Connection, workspace_id: UUID, *, after: UUID | None, limit: int
) -> list[ChannelRow]:
    """Oldest first, above ``after``."""
    found = await connection.fetch(
        f"""
        SELECT {CHANNEL} FROM channels WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
        """,
        workspace_id,
        after,
        limit,
    )
    return [ChannelRow(*row) for row in found]


async def lock_channel(unit: UnitOfWork, workspace_id: UUID, channel_id: UUID) -> ChannelRow | None:
    return channel(
        await unit.fetchrow(
            f"SELECT {CHANNEL} FROM channels WHERE workspace_id = $1 AND id = $2 FOR NO KEY UPDATE",
            workspace_id,
            channel_id,
        )
    )


async def insert_channel(
    unit: UnitOfWork,
    workspace_id: UUID,
    channel_id: UUID,
    *,
    app_id: UUID,
    kind: str,
    account_id: str,
    name: str,
    token: bytes,
    api_base: str | None,
    options: Mapping[str, str],
) -> ChannelRow | None:
    """``None`` when the account is connected already, here or in another workspace."""
    return channel(
        await unit.fetchrow(
            f"""
            INSERT INTO channels (workspace_id, id, provider_app_id, kind, account_id, name, token, api_base, options)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (kind, account_id) DO NOTHING RETURNING {CHANNEL}
            """,
            workspace_id,
            channel_id,
            app_id,
            kind,
            account_id,
            name,
            token,
            api_base,
            options,
        )
    )


async def update_channel(
    unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, fields: Mapping[str, object]
) -> ChannelRow:
    """``fields``: name, token (sealed), state, options, health with its reason and aspects, expiry, pause."""
    assignments = "".join(f"{column} = ${n}, " for n, column in enumerate(fields, 3))
    if "health" in fields:
        assignments += "health_changed_at = now(), "
    if "token" in fields:
        assignments += "token_version = token_version + 1, token_set_at = now(), renewal_tried_at = NULL, "
    row = await unit.fetchrow(
        f"""
        UPDATE channels SET {assignments}updated_at = now() WHERE workspace_id = $1 AND id = $2 RETURNING {CHANNEL}
        """,
        workspace_id,
        channel_id,
        *fields.values(),
    )
    assert row is not None
    return ChannelRow(*row)


async def delete_channel(unit: UnitOfWork, workspace_id: UUID, channel_id: UUID) -> Literal["gone", "unknown", "used"]:
    """``used``: it has conversations. The transaction cannot go on then."""
    try:
        gone = await unit.fetchval(
            "DELETE FROM channels WHERE workspace_id = $1 AND id = $2 RETURNING true", workspace_id, channel_id
        )
    except asyncpg.ForeignKeyViolationError:
        return "used"
    return "gone" if gone else "unknown"


# --- traffic, silence, ends of tokens ---------------------------------------------------------------------------------


async def note_traffic(unit: UnitOfWork, workspace_id: UUID, channel_id: UUID) -> bool:
    """Heard of just now; whether the channel was taken for silent. The last fourteen days with traffic are kept."""
    silent: bool | None = await unit.fetchval(
        """
        WITH noted AS (
            INSERT INTO channel_traffic AS t (workspace_id, channel_id, last_at, days)
            SELECT workspace_id, id, now(), ARRAY[current_date] FROM channels WHERE workspace_id = $1 AND id = $2
            ON CONFLICT (workspace_id, channel_id) DO UPDATE SET last_at = now(),
                days = CASE WHEN t.days[cardinality(t.days)] = current_date THEN t.days
                       ELSE (t.days || current_date)[greatest(1, cardinality(t.days) - 12):] END
        )
        SELECT health_aspects ? 'silent' FROM channels WHERE workspace_id = $1 AND id = $2
        """,
        workspace_id,
        channel_id,
    )
    return bool(silent)


async def silent_channels(connection: Connection, after: timedelta) -> list[tuple[UUID, UUID, datetime]]:
    """(workspace, channel, last heard of): nothing came for that long, though on three of the seven days before then
    something did. Those that are known to be silent, or cannot work anyway, are left out."""
    found = await connection.fetch(
        """
        SELECT t.workspace_id, t.channel_id, t.last_at FROM channel_traffic t
        JOIN channels c ON c.workspace_id = t.workspace_id AND c.id = t.channel_id
        WHERE t.last_at < now() - $1::interval AND c.state = 'enabled' AND c.health <> 'reauthorise'
          AND NOT c.health_aspects ? 'silent'
          AND (SELECT count(*) FROM unnest(t.days) AS d WHERE d > t.last_at::date - 7) >= 3
        ORDER BY t.workspace_id, t.channel_id
        """,
        after,
    )
    return [(row[0], row[1], row[2]) for row in found]


async def ending_tokens(connection: Connection, within: timedelta) -> list[tuple[UUID, UUID, datetime]]:
    """(workspace, channel, end) of tokens that have ended, or will within this time."""
    found = await connection.fetch(
        """SELECT workspace_id, id, token_expires_at FROM channels
           WHERE token_expires_at < now() + $1::interval AND state = 'enabled' ORDER BY workspace_id, id""",
        within,
    )
    return [(row[0], row[1], row[2]) for row in found]


async def renewable_tokens(
    connection: Connection, kinds: Sequence[str], *, before: timedelta, youngest: timedelta
) -> list[tuple[UUID, UUID]]:
    """(workspace, channel): ends within ``before``, or nobody knows when; not tried within a day."""
    found = await connection.fetch(
        """
        SELECT workspace_id, id FROM channels
        WHERE kind = ANY($1) AND health <> 'reauthorise'
          AND (renewal_tried_at IS NULL OR renewal_tried_at < now() - interval '1 day')
          AND (token_expires_at IS NULL
               OR (token_expires_at < now() + $2::interval AND token_set_at < now() - $3::interval))
        ORDER BY workspace_id, id
        """,
        kinds,
        before,
        youngest,
    )
    return [(row[0], row[1]) for row in found]


async def note_renewal(unit: UnitOfWork, workspace_id: UUID, channel_id: UUID) -> None:
    await unit.execute(
        "UPDATE channels SET renewal_tried_at = now() WHERE workspace_id = $1 AND id = $2", workspace_id, channel_id
    )
