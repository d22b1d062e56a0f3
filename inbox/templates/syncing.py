"""Keeping definitions as the provider has them: by asking for the list, and by what webhooks say in between.

Invariant: of two lists the one that was asked for later stands, and a list never undoes what a webhook said after it
was asked for. The row of the owner serialises all writers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from channels.abilities import HasTemplates
from channels.adapter import Adapter, Http
from channels.errors import FetchError
from channels.inbound import TemplateChanged
from channels.templates import Template
from channels.types import Fault
from inbox.connections.directory import Channel, ChannelUnknown, Directory
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.http_errors import HttpError
from inbox.kernel.ids import new_id
from inbox.kernel.jobs import Job, Jobs
from inbox.kernel.jobs_worker import GiveUp, RetryLater, Worker
from inbox.templates import events
from inbox.templates import repository as rows
from inbox.templates.repository import Owner, TemplateRow
from inbox.templates.schemas import SyncOut
from inbox.templates.views import view

QUEUE: Final = "templates.sync"
AT_ONCE: Final = 2
SECONDS: Final = 120.0
AGAIN_SECONDS: Final = 60.0
EVERY: Final = timedelta(hours=6)
"""How old a list may become without anybody asking."""

TokenRefused: TypeAlias = Callable[[UnitOfWork, Channel, str], Awaitable[bool]]


class NoTemplates(Exception):
    """The channel has no templates at all."""


class TemplateSync:
    """``token_refused``: told when the provider no longer takes the channel's token."""

    def __init__(
        self, database: Database, directory: Directory, http: Http, jobs: Jobs, token_refused: TokenRefused
    ) -> None:
        self._database = database
        self._directory = directory
        self._http = http
        self._jobs = jobs
        self._token_refused = token_refused

    def register(self, worker: Worker) -> None:
        worker.register(QUEUE, self.run, concurrency=AT_ONCE, time_limit=SECONDS)

    async def ask(self, unit: UnitOfWork, channel: Channel) -> None:
        """Have the list fetched soon; nothing where the channel has no templates."""
        if has_templates(channel.adapter):
            payload = {"channel_id": str(channel.id)}
            await self._jobs.enqueue(
                unit, channel.workspace_id, QUEUE, payload, key=f"{channel.kind}:{channel.owner}", max_attempts=5
            )

    async def ask_for_old(self, kinds: Mapping[str, Adapter], now: datetime) -> None:
        """Upkeep: harmless on several nodes, because jobs have keys."""
        able = [kind for kind, adapter in kinds.items() if has_templates(adapter)]
        async with self._database.session() as connection:
            found = await rows.due(connection, able, now - EVERY)
        for workspace_id, channel_id in found:
            channel = await self._directory.get(workspace_id, channel_id)
            async with self._database.transaction() as unit:
                await self.ask(unit, channel)

    async def run(self, job: Job) -> None:
        """A job handler. Raises ``GiveUp``, ``RetryLater``."""
        try:
            channel = await self._directory.get(job.workspace_id, UUID(str(job.payload["channel_id"])))
            await self.sync(channel)
        except (ChannelUnknown, NoTemplates) as error:
            raise GiveUp("the channel is gone, or has no templates") from error
        except FetchError as error:
            if error.fault.retryable:
                raise RetryLater(error.fault.retry_after or AGAIN_SECONDS, error.fault.reason) from error
            raise GiveUp(error.fault.reason) from error
        except HttpError as error:
            raise RetryLater(AGAIN_SECONDS, str(error)) from error

    async def sync(self, channel: Channel) -> SyncOut:
        """Fetch the list and store it. Raises ``FetchError``, ``HttpError``, ``NoTemplates``."""
        adapter = channel.adapter
        if not isinstance(adapter, HasTemplates):
            raise NoTemplates
        owner = Owner.of(channel)
        async with self._database.session() as connection:
            asked_at = await rows.now(connection)
        try:
            listed = await adapter.templates(self._http, channel.account)
        except FetchError as error:
            await self._failed(channel, owner, error.fault)
            raise
        async with self._database.transaction() as unit:
            return await self._store(unit, owner, listed, asked_at)

    async def _failed(self, channel: Channel, owner: Owner, fault: Fault) -> None:
        async with self._database.transaction() as unit:
            await rows.lock_owner(unit, owner)
            await rows.note_fault(unit, owner, fault.reason)
            if fault.reauthorise:
                await self._token_refused(unit, channel, fault.reason)

    async def _store(self, unit: UnitOfWork, owner: Owner, listed: Sequence[Template], asked_at: datetime) -> SyncOut:
        state = await rows.lock_owner(unit, owner)
        if state.asked_at is not None and state.synced_at is not None and state.asked_at >= asked_at:
            return SyncOut(len(listed), 0, 0, 0, True, state.synced_at)
        known = await rows.all_of(unit, owner)
        wanted = {(template.name, template.language): template for template in listed}
        created = updated = removed = 0
        for key in sorted(wanted):
            before, template = known.get(key), wanted[key]
            if before is None:
                fresh = await rows.insert(unit, owner, new_id(), template)
                unit.record(events.created(owner.workspace_id, view(fresh)))
                created += 1
                continue
            template = _with_later_words(before, template, asked_at)
            if before.removed_at is None and before.template == template:
                continue
            after = await rows.update(unit, owner.workspace_id, before.id, template)
            said = events.updated if before.removed_at is None else events.created
            unit.record(said(owner.workspace_id, view(after)))
            updated += 1
        for key in sorted(known.keys() - wanted.keys()):
            before = known[key]
            if before.removed_at is None:
                after = await rows.update(unit, owner.workspace_id, before.id, before.template, removed=True)
                unit.record(events.removed(owner.workspace_id, view(after)))
                removed += 1
        synced_at = await rows.finish_sync(unit, owner, asked_at)
        return SyncOut(len(listed), created, updated, removed, False, synced_at)

    # --- webhooks -----------------------------------------------------------------------------------------------------

    async def told(self, unit: UnitOfWork, news: Iterable[tuple[Channel, TemplateChanged]]) -> None:
        """What webhooks say, in the transaction that receives them. Unordered and repeated: the later time counts."""
        by_owner: dict[tuple[str, str], list[tuple[Channel, TemplateChanged]]] = {}
        for channel, change in news:
            by_owner.setdefault((channel.kind, channel.owner), []).append((channel, change))
        for key in sorted(by_owner):
            owner = Owner.of(by_owner[key][0][0])
            await rows.lock_owner(unit, owner)
            # Several channels of one owner are told of one change: it is one.
            for change, channel in {change: channel for channel, change in by_owner[key]}.items():
                await self._apply(unit, owner, channel, change)

    async def _apply(self, unit: UnitOfWork, owner: Owner, channel: Channel, change: TemplateChanged) -> None:
        before = await rows.find_told(unit, owner, change.external_id, change.name, change.language)
        if before is None or change.changed:
            await self.ask(unit, channel)
        if before is None or (before.told_at is not None and change.occurred_at < before.told_at):
            return
        template = replace(
            before.template,
            status=change.status or before.template.status,
            category=change.category or before.template.category,
            quality=change.quality or before.template.quality,
            reason=_reason(before.template, change),
        )
        after = await rows.update(
            unit,
            owner.workspace_id,
            before.id,
            template,
            removed=before.removed_at is not None,
            told_at=change.occurred_at,
        )
        if template != before.template:
            unit.record(events.updated(owner.workspace_id, view(after)))


def has_templates(adapter: Adapter) -> bool:
    return isinstance(adapter, HasTemplates) and adapter.capabilities.templates == "synced"


def _reason(before: Template, change: TemplateChanged) -> str | None:
    """A reason belongs to the status that it explains."""
    if change.status is None:
        return change.reason or before.reason
    return change.reason


def _with_later_words(before: TemplateRow, listed: Template, asked_at: datetime) -> Template:
    if before.judged_at is None or before.judged_at < asked_at:
        return listed
    said = before.template
    return replace(listed, status=said.status, category=said.category, quality=said.quality, reason=said.reason)
