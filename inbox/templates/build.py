"""Puts the room of templates together for a process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from channels.adapter import Adapter, Http
from inbox.connections.directory import Directory
from inbox.connections.service import Channels
from inbox.kernel.database import Database
from inbox.kernel.jobs import Jobs
from inbox.templates.service import Templates
from inbox.templates.syncing import TemplateSync


class Parts(Protocol):
    """What the runtime has by then."""

    @property
    def database(self) -> Database: ...
    @property
    def directory(self) -> Directory: ...
    @property
    def channels(self) -> Channels: ...
    @property
    def http(self) -> Http: ...
    @property
    def jobs(self) -> Jobs: ...


class TemplateRoom:
    """``service`` is for whoever takes requests and sends, ``syncing`` for workers and whoever receives."""

    def __init__(self, service: Templates, syncing: TemplateSync, adapters: Mapping[str, Adapter]) -> None:
        self.service = service
        self.syncing = syncing
        self._adapters = adapters

    async def refresh(self) -> None:
        """Upkeep."""
        await self.syncing.ask_for_old(self._adapters, datetime.now(UTC))


def build_templates(parts: Parts, adapters: Mapping[str, Adapter]) -> TemplateRoom:
    token_refused = parts.channels.health.token_refused
    syncing = TemplateSync(parts.database, parts.directory, parts.http, parts.jobs, token_refused)
    return TemplateRoom(Templates(parts.database, parts.directory, adapters, syncing), syncing, adapters)
