"""What webhooks say about channels and templates rather than about messages, and that they said anything at all.

Runs last in the transaction that receives: its locks (templates, then channels) come after all others but the log's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from channels.inbound import AccountChanged, Inbound, TemplateChanged
from inbox.connections.directory import Channel
from inbox.connections.health import ChannelHealth
from inbox.connections.traffic import Traffic
from inbox.kernel.database import UnitOfWork
from inbox.messages import notice_rows
from inbox.templates.syncing import TemplateSync

News: TypeAlias = tuple[Channel, Inbound]


class ChannelNews:
    def __init__(self, health: ChannelHealth, templates: TemplateSync) -> None:
        self._health = health
        self._templates = templates
        self._traffic = Traffic(health)

    async def apply(self, unit: UnitOfWork, items: Iterable[News]) -> None:
        """The items of one workspace."""
        found = list(items)
        await self._templates.told(
            unit, [(channel, inbound) for channel, inbound in found if isinstance(inbound, TemplateChanged)]
        )
        told = [(channel, inbound) for channel, inbound in found if isinstance(inbound, AccountChanged)]
        for channel, change in sorted(told, key=lambda one: one[0].id):
            data = {**change.data, "reason": change.reason, "health": change.health}
            await notice_rows.keep(unit, channel.workspace_id, channel.id, f"account.{change.aspect}", data)
            await self._health.told(unit, channel, change)
        await self._traffic.note(unit, {channel.id: channel for channel, _ in found}.values())
