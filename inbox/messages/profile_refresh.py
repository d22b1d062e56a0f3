"""Asking channels again who somebody is: when they write, and at most once a day, where the channel can tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from inbox.connections.directory import Channel, Directory
from inbox.conversations.profiles import ProfileRequests
from inbox.kernel.database import UnitOfWork
from inbox.kernel.eventlog import Event
from inbox.media.avatar_rows import stale
from inbox.messages.events import MessageCreated

EVERY: Final = timedelta(days=1)
MOST_REMEMBERED: Final = 50_000


class ProfileRefresh:
    """A reaction to ``message.created``. What this process asked about today costs no further query."""

    def __init__(self, directory: Directory, requests: ProfileRequests) -> None:
        self._directory = directory
        self._requests = requests
        self._looked: dict[UUID, float] = {}

    async def follow(self, unit: UnitOfWork, events: Sequence[Event]) -> None:
        """Reaction to ``message.created``: ask anew about people whose profile is older than ``EVERY``."""
        now = time.monotonic()
        wanted: dict[UUID, dict[UUID, Channel]] = {}
        for event in events:
            data = event.data
            if not isinstance(data, MessageCreated) or data.message.direction != "in":
                continue
            conversation_id = data.message.conversation_id
            if now - self._looked.get(conversation_id, -EVERY.total_seconds()) < EVERY.total_seconds():
                continue
            channel = await self._directory.get(event.workspace_id, data.message.channel_id)
            if channel.capabilities.profiles:
                wanted.setdefault(event.workspace_id, {})[conversation_id] = channel
        for workspace_id in sorted(wanted):
            channels = wanted[workspace_id]
            found = await stale(unit, workspace_id, list(channels), EVERY)
            await self._requests.ask(unit, workspace_id, [(channels[thread], identity) for thread, identity in found])
            unit.after_commit(partial(self._remember, list(channels), now))

    def _remember(self, conversation_ids: Sequence[UUID], at: float) -> None:
        if len(self._looked) > MOST_REMEMBERED:
            self._looked.clear()
        self._looked.update(dict.fromkeys(conversation_ids, at))
