"""When each channel was last heard of, so that one that has fallen silent is noticed (row A10).

Costs one small write a minute for each channel and process, in a transaction that stores webhooks anyway.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from inbox.connections import repository as rows
from inbox.connections.directory import Channel
from inbox.connections.health import SILENT, ChannelHealth, Report
from inbox.kernel.database import UnitOfWork

NOTE_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 20_000


class Traffic:
    def __init__(self, health: ChannelHealth) -> None:
        self._health = health
        self._noted: dict[UUID, float] = {}

    async def note(self, unit: UnitOfWork, channels: Iterable[Channel]) -> None:
        """A webhook spoke of these channels. Last in the transaction but for the log: the locks come in order."""
        now = time.monotonic()
        due = {
            (channel.workspace_id, channel.id)
            for channel in channels
            if now - self._noted.get(channel.id, -NOTE_SECONDS) >= NOTE_SECONDS
        }
        for workspace_id, channel_id in sorted(due):
            if await rows.note_traffic(unit, workspace_id, channel_id):
                await self._health.report(unit, workspace_id, channel_id, Report(SILENT, "ok"))
        if due:
            unit.after_commit(lambda: self._remember([channel_id for _, channel_id in due], now))

    def _remember(self, channel_ids: Iterable[UUID], at: float) -> None:
        if len(self._noted) > MOST_REMEMBERED:
            self._noted.clear()
        self._noted.update(dict.fromkeys(channel_ids, at))
