"""Provider apps and channels over HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from channels.capabilities import Capabilities
from inbox.agents.origin import BaseUrl
from inbox.agents.principal import Principal
from inbox.connections.apps import AppInUse, AppShared, AppUnknown, ProviderApps
from inbox.connections.connecting import Connecting, PublicUrlUnset
from inbox.connections.directory import ChannelUnknown
from inbox.connections.schemas import (
    ChannelIn,
    ChannelKind,
    ChannelPatch,
    ChannelView,
    CheckOut,
    ConnectOut,
    ProviderAppCreated,
    ProviderAppIn,
    ProviderAppPatch,
    ProviderAppView,
)
from inbox.connections.service import AccountAlreadyConnected, ChannelInUse, Channels
from inbox.kernel.errors import Forbidden
from inbox.kernel.pages import ListQuery, Page
from inbox.kernel.web import Query, delete, get, patch, post


class ProviderAppRoutes:
    """Meta apps and Telegram bots: where webhooks come in, and the secrets that prove them."""

    def __init__(self, apps: ProviderApps) -> None:
        self._apps = apps

    @get("/v1/provider-apps", errors=(Forbidden,))
    async def list(
        self, caller: Principal, base: BaseUrl, query: Annotated[ListQuery, Query()]
    ) -> Page[ProviderAppView]:
        """List the apps of the workspace and those of the installation, oldest first."""
        return query.page(await self._apps.list(caller, base=base, after=query.last_id(), limit=query.limit + 1))

    @post("/v1/provider-apps", status=201, errors=(Forbidden,))
    async def create(self, caller: Principal, base: BaseUrl, body: ProviderAppIn) -> ProviderAppCreated:
        """Add an app; the answer has what the provider's form or setWebhook asks for."""
        return await self._apps.create(caller, body, base=base)

    @get("/v1/provider-apps/{app_id}", errors=(Forbidden, AppUnknown))
    async def read(self, caller: Principal, base: BaseUrl, app_id: UUID) -> ProviderAppView:
        """Read one app. Its secrets are not shown again."""
        return await self._apps.get(caller, app_id, base=base)

    @patch("/v1/provider-apps/{app_id}", errors=(Forbidden, AppShared, AppUnknown))
    async def change(self, caller: Principal, base: BaseUrl, app_id: UUID, body: ProviderAppPatch) -> ProviderAppView:
        """Rename an app or replace its signing secrets."""
        return await self._apps.change(caller, app_id, body, base=base)

    @delete("/v1/provider-apps/{app_id}", errors=(Forbidden, AppShared, AppUnknown, AppInUse))
    async def remove(self, caller: Principal, app_id: UUID) -> None:
        """Delete an app that no channel uses; its endpoint stops answering."""
        await self._apps.delete(caller, app_id)


class ChannelRoutes:
    """Connected WhatsApp numbers, Pages, Instagram accounts and Telegram bots."""

    def __init__(self, channels: Channels, connecting: Connecting) -> None:
        self._channels = channels
        self._connecting = connecting

    @get("/v1/channel-kinds", errors=(Forbidden,))
    async def kinds(self, caller: Principal) -> list[ChannelKind]:
        """List the kinds of channels that can be connected, with what each can do."""
        return self._channels.kinds(caller)

    @post("/v1/channels", status=201, errors=(Forbidden, AccountAlreadyConnected))
    async def create(self, caller: Principal, body: ChannelIn) -> ChannelView:
        """Connect an account. The token is kept encrypted and not shown again."""
        return await self._channels.create(caller, body)

    @get("/v1/channels/{channel_id}", errors=(Forbidden, ChannelUnknown))
    async def read(self, caller: Principal, channel_id: UUID) -> ChannelView:
        """Read one channel."""
        return await self._channels.get(caller, channel_id)

    @patch("/v1/channels/{channel_id}", errors=(Forbidden, ChannelUnknown))
    async def change(self, caller: Principal, channel_id: UUID, body: ChannelPatch) -> ChannelView:
        """Rename, disable or enable a channel, or replace its token or options."""
        return await self._channels.change(caller, channel_id, body)

    @delete("/v1/channels/{channel_id}", errors=(Forbidden, ChannelUnknown, ChannelInUse))
    async def remove(self, caller: Principal, channel_id: UUID) -> None:
        """Delete a channel that has no conversations; one that has can only be disabled."""
        await self._channels.delete(caller, channel_id)

    @get("/v1/channels/{channel_id}/capabilities", errors=(Forbidden, ChannelUnknown))
    async def capabilities(self, caller: Principal, channel_id: UUID) -> Capabilities:
        """Read what the channel can do: lengths, sizes, media types, buttons, windows, rates.

        Of this very account: with what its connection allows, and the rates at which it is really sent.
        """
        return await self._channels.capabilities(caller, channel_id)

    @post("/v1/channels/{channel_id}/check", errors=(Forbidden, ChannelUnknown))
    async def check(self, caller: Principal, channel_id: UUID) -> CheckOut:
        """Ask the provider whether the stored credentials work and everything is set up; the health follows."""
        return await self._connecting.check(caller, channel_id)

    @post("/v1/channels/{channel_id}/connect", status=200, errors=(Forbidden, ChannelUnknown, PublicUrlUnset))
    async def connect(self, caller: Principal, channel_id: UUID) -> ConnectOut:
        """Have the provider deliver to this installation, after a check of the credentials. Again does no harm.

        Says what was done and what a person still has to do by hand, with the webhook URL and the verify token.
        """
        return await self._connecting.connect(caller, channel_id)

    @get("/v1/channels", errors=(Forbidden,))
    async def list(self, caller: Principal, query: Annotated[ListQuery, Query()]) -> Page[ChannelView]:
        """List channels, oldest first."""
        return query.page(await self._channels.list(caller, after=query.last_id(), limit=query.limit + 1))
