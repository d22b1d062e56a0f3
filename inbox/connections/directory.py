"""Connected channels and apps, ready for use: unsealed, and cached for a few seconds.

The cache only saves reads. Whatever must not be late (a channel that was disabled) is decided from its row, in the
transaction that acts on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from channels.abilities import capabilities_of
from channels.adapter import Adapter, WebhookSecrets
from channels.capabilities import Capabilities
from channels.types import Account
from inbox.connections import repository as rows
from inbox.connections.pace import at_own_pace
from inbox.connections.repository import AppRow, ChannelRow
from inbox.kernel.cache import ExpiringCache
from inbox.kernel.connection import Connection
from inbox.kernel.database import Database
from inbox.kernel.errors import NotFound
from inbox.kernel.secrets import SecretBox

OWNER_OPTION: Final = "waba_id"
RESTRICTION: Final = "restriction"
"""Aspect of a channel's health: the provider does not let the account send (locked, blocked for a while, …)."""


@dataclass(frozen=True, slots=True)
class Channel:
    workspace_id: UUID
    id: UUID
    app_id: UUID
    kind: str
    name: str
    state: str
    account: Account
    adapter: Adapter = field(repr=False)
    token_version: int = 1
    """Of the token in ``account``: what is said about an older one says nothing about the channel."""
    restricted_since: datetime | None = None
    """Refusals of sends say since then that the account may not send; a send that arrives ends that."""
    capabilities: Capabilities = field(init=False, repr=False, compare=False)
    """Of this very account."""

    def __post_init__(self) -> None:
        own = at_own_pace(capabilities_of(self.adapter, self.account), self.account.options)
        object.__setattr__(self, "capabilities", own)

    @property
    def owner(self) -> str:
        """The provider's account that stands above this one: the WABA of a number; otherwise the account itself."""
        return self.account.options.get(OWNER_OPTION, self.account.account_id)

    @property
    def window_hours(self) -> int | None:
        window = self.capabilities.window
        return None if window is None else window.hours


@dataclass(frozen=True, slots=True)
class ProviderApp:
    """``account_id`` is the app's own account where its webhooks name none (Telegram)."""

    id: UUID
    provider: str
    account_id: str | None
    secrets: WebhookSecrets


class ChannelUnknown(NotFound):
    code = "channel_not_found"


class Directory:
    def __init__(self, database: Database, box: SecretBox, adapters: Mapping[str, Adapter], graph_version: str) -> None:
        self._database = database
        self._box = box
        self._adapters = adapters
        self._graph_version = graph_version
        self._apps: ExpiringCache[str, ProviderApp] = ExpiringCache(fresh=10, unknown=2)
        self._apps_by_id: ExpiringCache[UUID, ProviderApp] = ExpiringCache(fresh=10, unknown=2)
        self._accounts: ExpiringCache[tuple[UUID, str], tuple[Channel, ...]] = ExpiringCache(fresh=10, unknown=2)
        self._channels: ExpiringCache[tuple[UUID, UUID], Channel] = ExpiringCache(fresh=10, unknown=2)

    @property
    def kinds(self) -> Collection[str]:
        """Of the channels that this installation can have."""
        return self._adapters.keys()

    def forget(self) -> None:
        """Something about channels or apps changed, here or on another node."""
        self._apps.clear()
        self._apps_by_id.clear()
        self._accounts.clear()
        self._channels.clear()

    async def find_app(self, provider: str, endpoint_key: str) -> ProviderApp | None:
        """By the key in the path of its endpoint; ``None`` too where that is another provider's."""

        async def read() -> ProviderApp | None:
            async with self._database.session() as connection:
                row = await rows.find_app(connection, endpoint_key)
            return None if row is None else self.unseal_app(row)

        app = await self._apps.get(endpoint_key, read)
        return app if app is not None and app.provider == provider else None

    async def find_app_by_id(self, app_id: UUID) -> ProviderApp | None:
        async def read() -> ProviderApp | None:
            async with self._database.session() as connection:
                row = await rows.find_app_by_id(connection, app_id)
            return None if row is None else self.unseal_app(row)

        return await self._apps_by_id.get(app_id, read)

    async def find_account(self, app_id: UUID, account_id: str) -> Channel | None:
        """The channel of a provider account, if it is connected through this app."""
        found = await self.find_accounts(app_id, account_id)
        return found[0] if found else None

    async def find_accounts(self, app_id: UUID, account_id: str) -> tuple[Channel, ...]:
        """The same; or, where the id names the owner of several accounts, the channels of all of them."""

        async def read() -> tuple[Channel, ...] | None:
            async with self._database.session() as connection:
                found = await rows.find_accounts(connection, app_id, account_id)
            return tuple(self.unseal_channel(row) for row in found) or None

        return await self._accounts.get((app_id, account_id), read) or ()

    async def get(self, workspace_id: UUID, channel_id: UUID) -> Channel:
        """Raises ``ChannelUnknown``."""

        async def read() -> Channel | None:
            async with self._database.session() as connection:
                row = await rows.find_channel(connection, workspace_id, channel_id)
            return None if row is None else self.unseal_channel(row)

        channel = await self._channels.get((workspace_id, channel_id), read)
        if channel is None:
            raise ChannelUnknown("this workspace has no such channel")
        return channel

    async def state(self, connection: Connection, workspace_id: UUID, channel_id: UUID) -> str:
        """``enabled`` or ``disabled``, read in the caller's transaction: never from the cache."""
        return (await self.state_and_health(connection, workspace_id, channel_id))[0]

    async def state_and_health(self, connection: Connection, workspace_id: UUID, channel_id: UUID) -> tuple[str, str]:
        """The same, with the health."""
        row = await rows.find_channel(connection, workspace_id, channel_id)
        return ("disabled", "ok") if row is None else (row.state, row.health)

    def unseal_app(self, row: AppRow) -> ProviderApp:
        """With its secrets in the clear: for verifying, never for showing."""
        secrets = orjson.loads(self._box.open(row.secrets, table="provider_apps", row=row.id, column="secrets"))
        return ProviderApp(
            row.id,
            row.provider,
            row.account_id,
            WebhookSecrets(signing=tuple(secrets["signing"]), verify_token=secrets.get("verify_token")),
        )

    def unseal_channel(self, row: ChannelRow) -> Channel:
        token = self._box.open(row.token, table="channels", row=row.id, column="token").decode()
        account = Account(row.kind, row.account_id, token, row.api_base, self._graph_version, row.options)
        return Channel(
            row.workspace_id,
            row.id,
            row.app_id,
            row.kind,
            row.name,
            row.state,
            account,
            self._adapters[row.kind],
            row.token_version,
            restricted_since(row.health_aspects),
        )


def restricted_since(aspects: Mapping[str, Any]) -> datetime | None:
    """What webhooks said has a time of theirs, and does not end by a send."""
    entry = aspects.get(RESTRICTION)
    if entry is None or entry["health"] == "ok" or entry["at"] is not None:
        return None
    return datetime.fromisoformat(entry["since"])
