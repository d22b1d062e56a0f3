"""Templates over HTTP."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.connections.asking import ProviderRefused
from inbox.connections.directory import ChannelUnknown
from inbox.kernel.errors import Forbidden
from inbox.kernel.pages import Page
from inbox.kernel.web import Query, get, post
from inbox.templates.schemas import PreviewOut, SyncOut, TemplateQuery, TemplateValuesIn, TemplateView
from inbox.templates.service import Templates, TemplateUnknown, ValuesRefused, WithoutTemplates


class TemplateRoutes:
    """What may be sent outside of the messaging window, as the provider approved it."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    @get("/v1/channels/{channel_id}/templates", tag="templates", errors=(Forbidden, ChannelUnknown))
    async def list(
        self, caller: Principal, channel_id: UUID, query: Annotated[TemplateQuery, Query()]
    ) -> Page[TemplateView]:
        """The synced templates of a channel, by name and language. Channels of one account share them."""
        return await self._templates.page(caller, channel_id, query)

    @post(
        "/v1/channels/{channel_id}/templates/sync",
        tag="templates",
        status=200,
        errors=(Forbidden, ChannelUnknown, WithoutTemplates, ProviderRefused),
    )
    async def sync(self, caller: Principal, channel_id: UUID) -> SyncOut:
        """Fetch the list from the provider now. It is also fetched every few hours, and when the provider says so."""
        return await self._templates.sync(caller, channel_id)

    @get("/v1/templates/{template_id}", tag="templates", errors=(Forbidden, TemplateUnknown))
    async def read(self, caller: Principal, template_id: UUID) -> TemplateView:
        """One template."""
        return await self._templates.get(caller, template_id)

    @post(
        "/v1/templates/{template_id}/preview",
        tag="templates",
        status=200,
        errors=(Forbidden, TemplateUnknown, ValuesRefused),
    )
    async def preview(self, caller: Principal, template_id: UUID, body: TemplateValuesIn) -> PreviewOut:
        """How the template reads with these values; refused exactly where sending it with them would be."""
        return await self._templates.preview(caller, template_id, body)
