"""The ways to a contact: conversations that are there, and those that could be started (row B2).

Everything is read in the transaction that sends, with the contact and their conversations locked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from contacts.reach_rows import reach as reach_of
from inbox.connections.directory import Channel, Directory
from inbox.conversations import starting_rows
from inbox.conversations.composer import Standing
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations
from inbox.conversations.starting import find_identity
from inbox.kernel.database import UnitOfWork
from scheduler.sequences.deciding import Option, in_order
from scheduler.sequences.definition import StepIn


class Reach:
    def __init__(self, conversations: Conversations, directory: Directory) -> None:
        self._conversations = conversations
        self._directory = directory

    async def options(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        contact_id: UUID,
        threads: Sequence[Thread],
        step: StepIn,
        purpose: Literal["reply", "marketing"],
        *,
        tied: UUID | None,
        now: datetime,
    ) -> list[Option]:
        """``threads``: all of the contact's, locked. In the order in which the step would try them."""
        found = []
        for thread in sorted(threads, key=lambda thread: thread.active_at, reverse=True):
            channel = await self._directory.get(workspace_id, thread.channel_id)
            standing = await self._conversations.standing(unit, channel, thread)
            found.append(_option(channel, standing, thread.identity_id, thread, purpose, now))
        if step.channels and step.may_start:
            found += await self._startable(unit, workspace_id, contact_id, threads, step, purpose, now)
        return in_order(step, found, tied)

    async def _startable(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        contact_id: UUID,
        threads: Sequence[Thread],
        step: StepIn,
        purpose: Literal["reply", "marketing"],
        now: datetime,
    ) -> list[Option]:
        """On enabled channels with which they have no conversation, where the channel lets us speak first."""
        taken = {thread.channel_id for thread in threads}
        options = []
        ids = [choice.channel_id for choice in step.channels if choice.channel_id is not None]
        kinds = [choice.kind for choice in step.channels if choice.kind is not None]
        for channel_id, health in await starting_rows.enabled_channels(unit, workspace_id, ids, kinds):
            channel = await self._directory.get(workspace_id, channel_id)
            capabilities = channel.capabilities
            if channel_id in taken or not capabilities.starts_conversations:
                continue
            identity_id = await find_identity(unit, contact_id, channel)
            if identity_id is not None:
                reach = await reach_of(unit, workspace_id, identity_id)
                standing = Standing("enabled", health, reach, capabilities.window, None, None)
                options.append(_option(channel, standing, identity_id, None, purpose, now))
        return options


def _option(
    channel: Channel,
    standing: Standing,
    identity_id: UUID,
    thread: Thread | None,
    purpose: Literal["reply", "marketing"],
    now: datetime,
) -> Option:
    refusals: Mapping[bool, str | None] = {
        template: None if refusal is None else refusal.reason
        for template in (False, True)
        for refusal in [standing.refusal(now, purpose=purpose, template=template, marketing=purpose == "marketing")]
    }
    return Option(
        channel_id=channel.id,
        kind=channel.kind,
        identity_id=identity_id,
        conversation_id=None if thread is None else thread.id,
        status="open" if thread is None else thread.status,
        free=refusals[False],
        template=refusals[True] if channel.capabilities.templates else refusals[True] or "no_templates",
    )
