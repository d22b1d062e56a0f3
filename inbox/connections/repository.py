"""All SQL about provider apps and channels. Secrets come and go sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from inbox.kernel.connection import Connection


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
    created_at: datetime


APP = "id, workspace_id, provider, name, endpoint_key, account_id, secrets, created_at"
CHANNEL = """workspace_id, id, provider_app_id, kind, account_id, name, token, api_base, options, state, health,
    health_reason, created_at"""


def app(row: asyncpg.Record | None) -> AppRow | None:
    return None if row is None else AppRow(*row)


def channel(row: asyncpg.Record | None) -> ChannelRow | None:
    return None if row is None else ChannelRow(*row)


async def find_app(connection: Connection, endpoint_key: str) -> AppRow | None:
    return app(await connection.fetchrow(f"SELECT {APP} FROM provider_apps WHERE endpoint_key = $1", endpoint_key))


async def find_app_by_id(connection: Connection, app_id: UUID) -> AppRow | None:
    return app(await connection.fetchrow(f"SELECT {APP} FROM provider_apps WHERE id = $1", app_id))


async def find_account(connection: Connection, app_id: UUID, account_id: str) -> ChannelRow | None:
    return channel(
        await connection.fetchrow(
            f"SELECT {CHANNEL} FROM channels WHERE provider_app_id = $1 AND account_id = $2", app_id, account_id
        )
    )


async def find_channel(connection: Connection, workspace_id: UUID, channel_id: UUID) -> ChannelRow | None:
    return channel(
        await connection.fetchrow(
            f"SELECT {CHANNEL} FROM channels WHERE workspace_id = $1 AND id = $2", workspace_id, channel_id
        )
    )
