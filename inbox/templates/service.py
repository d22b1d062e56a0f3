"""Templates as people use them: listed, previewed, synced on demand, and looked up for a send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from channels.abilities import HasTemplates
from channels.adapter import Adapter
from channels.errors import ContentRefused, FetchError
from channels.templates import gaps, preview
from contacts.reach_rows import Reach
from inbox.agents.principal import Principal
from inbox.connections.asking import ProviderRefused
from inbox.connections.directory import Channel, Directory
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Conflict, InboxError, NotFound
from inbox.kernel.http_errors import HttpError
from inbox.kernel.pages import Page, encode_cursor
from inbox.templates import repository as rows
from inbox.templates.repository import Key, Owner, TemplateRow
from inbox.templates.schemas import (
    PreviewOut,
    SyncOut,
    TemplateQuery,
    TemplateValuesIn,
    TemplateView,
    UsableTemplate,
)
from inbox.templates.syncing import NoTemplates, TemplateSync, has_templates
from inbox.templates.views import view

MOST_USABLE = 20
MARKETING: Final = "marketing"
"""The category of what advertises: not for who has stopped that, whatever the sender calls it."""
AUTHENTICATION: Final = "authentication"
"""The category of one-time codes: providers send them to telephone numbers only (channel facts, section 1.4)."""


class TemplateUnknown(NotFound):
    code = "template_not_found"


class ValuesRefused(InboxError):
    """``limit`` says where: ``template.body``, ``template.header``, ``template.buttons``."""

    status, code, title = 422, "template_variables", "The values do not fit the template"


class WithoutTemplates(Conflict):
    code, title = "no_templates", "This channel has no templates"


class Templates:
    def __init__(
        self, database: Database, directory: Directory, adapters: Mapping[str, Adapter], syncing: TemplateSync
    ) -> None:
        self._database = database
        self._directory = directory
        self._adapters = adapters
        self._syncing = syncing

    async def page(self, caller: Principal, channel_id: UUID, query: TemplateQuery) -> Page[TemplateView]:
        """Raises ``ChannelUnknown``."""
        caller.require("channels.read")
        owner = Owner.of(await self._directory.get(caller.workspace_id, channel_id))
        async with self._database.transaction(readonly=True) as unit:
            found = await rows.page(
                unit,
                owner,
                statuses=query.status,
                name=query.name,
                language=query.language,
                category=query.category,
                removed=query.removed,
                after=query.last(),
                limit=query.limit + 1,
            )
        page = [view(row) for row in found[: query.limit]]
        following = encode_cursor(page[-1].name, page[-1].language) if len(found) > query.limit else None
        return Page(items=page, next=following)

    async def get(self, caller: Principal, template_id: UUID) -> TemplateView:
        """Raises ``TemplateUnknown``."""
        return view(await self._row(caller, template_id))

    async def preview(self, caller: Principal, template_id: UUID, values: TemplateValuesIn) -> PreviewOut:
        """Raises ``TemplateUnknown``, ``ValuesRefused``."""
        row = await self._row(caller, template_id)
        try:
            shown = preview(row.template, values.values())
            adapter = self._adapters.get(row.kind)
            if adapter is not None and isinstance(adapter, HasTemplates):
                adapter.fill(row.template, values.values())  # it knows limits that the definition does not tell
        except ContentRefused as refused:
            raise ValuesRefused(refused.reason, limit=refused.limit) from None
        return PreviewOut(shown.header, shown.body, shown.footer, list(shown.buttons))

    async def sync(self, caller: Principal, channel_id: UUID) -> SyncOut:
        """Raises ``ChannelUnknown``, ``WithoutTemplates``, ``ProviderRefused``."""
        caller.require("channels.write")
        channel = await self._directory.get(caller.workspace_id, channel_id)
        try:
            return await self._syncing.sync(channel)
        except NoTemplates:
            given = channel.capabilities.templates == "given"
            detail = "does not list its templates: they are sent with their components" if given else "has no templates"
            raise WithoutTemplates(f"{channel.kind} {detail}") from None
        except FetchError as error:
            fault = error.fault
            raise ProviderRefused(fault.reason, reason=fault.code, provider_code=fault.provider_code) from error
        except HttpError as error:
            detail = f"The provider did not answer: {error.reason}."
            raise ProviderRefused(detail, reason="provider_unreachable", provider_code=None) from error

    # --- for sends ----------------------------------------------------------------------------------------------------

    async def usable(self, unit: UnitOfWork, channel: Channel, reach: Reach) -> list[UsableTemplate]:
        """What may be sent to this person outside of the window, at most ``MOST_USABLE``."""
        without = [MARKETING] if reach.marketing_stopped else []
        if not reach.by_phone:
            without.append(AUTHENTICATION)
        return await rows.usable(unit, Owner.of(channel), without=without, limit=MOST_USABLE)

    async def categories(self, unit: UnitOfWork, channel: Channel, keys: Sequence[Key]) -> frozenset[str]:
        """Of these templates, as their provider files them; nothing of those that were never synced."""
        return await rows.categories(unit, Owner.of(channel), keys) if keys else frozenset()

    async def approved(self, unit: UnitOfWork, channel: Channel, name: str, language: str, part: int) -> TemplateRow:
        """The definition, if it may be sent. Raises ``ContentRefused``."""
        row = await rows.find_named(unit, Owner.of(channel), name, language)
        if row is None or row.removed_at is not None:
            raise ContentRefused(
                "template_unknown",
                f"There is no template “{name}” in the language {language}; templates may have to be synced.",
                limit="template",
                part=part,
            )
        if row.template.status != "approved":
            why = f": {row.template.reason}" if row.template.reason else ""
            raise ContentRefused(
                "template_not_approved",
                f"The template “{name}” ({language}) cannot be sent: it is {row.template.status}{why}.",
                limit="template",
                part=part,
            )
        return row

    async def check_raw(
        self, unit: UnitOfWork, channel: Channel, name: str, language: str, body_values: int, part: int
    ) -> TemplateRow | None:
        """The same for components that the caller wrote, as far as it can be known. Raises ``ContentRefused``.

        ``None`` where nothing was ever synced: then the provider has the last word.
        """
        if not has_templates(channel.adapter) or not await rows.ever_synced(unit, Owner.of(channel)):
            return None
        row = await self.approved(unit, channel, name, language, part)
        wanted = len(gaps(row.template.body))
        if body_values != wanted:
            raise ContentRefused(
                "template_variables",
                f"The template “{name}” takes {wanted} values in its body, not {body_values}.",
                limit="template.body",
                allowed=wanted,
                part=part,
            )
        return row

    async def _row(self, caller: Principal, template_id: UUID) -> TemplateRow:
        caller.require("channels.read")
        async with self._database.transaction(readonly=True) as unit:
            row = await rows.find(unit, caller.workspace_id, template_id)
        if row is None:
            raise TemplateUnknown("there is no such template")
        return row
