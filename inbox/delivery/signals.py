"""What is told to providers beside messages: that we read, that we type, that we saw a tap. Best effort, never queued.

A signal that fails is logged and forgotten: it has no value a minute later, and nothing depends on it.
"""

from __future__ import annotations

import logging
import time
from uuid import UUID

from channels.adapter import Http
from channels.errors import ChannelError
from channels.types import Address
from contacts import reach_rows
from contacts import repository as contact_rows
from inbox.agents.principal import Principal
from inbox.connections.directory import Channel, Directory
from inbox.conversations.service import Conversations
from inbox.kernel.database import Database
from inbox.kernel.http_errors import HttpError
from inbox.kernel.supervisor import Supervisor
from inbox.messages import repository as message_rows

log = logging.getLogger(__name__)

MOST_REMEMBERED = 10_000


class Signals:
    def __init__(
        self,
        database: Database,
        directory: Directory,
        conversations: Conversations,
        http: Http,
        supervisor: Supervisor,
    ) -> None:
        self._database = database
        self._directory = directory
        self._conversations = conversations
        self._http = http
        self._supervisor = supervisor
        self._typed_at: dict[UUID, float] = {}

    async def read(self, caller: Principal, conversation_id: UUID) -> None:
        """Tell the provider that the conversation was read up to its last inbound message."""
        self._supervisor.background(self._read(caller, conversation_id), "mark as read")

    async def typing(self, caller: Principal, conversation_id: UUID) -> None:
        """Show the customer that we type; again only when the last sign has faded."""
        caller.require("messages.send")
        route = await self._route(caller, conversation_id)
        if route is None:
            return
        channel, peer, last = route
        seconds = channel.capabilities.typing_seconds
        now = time.monotonic()
        if seconds is None or now - self._typed_at.get(conversation_id, -seconds) < seconds * 0.8:
            return
        if len(self._typed_at) >= MOST_REMEMBERED:
            self._typed_at.clear()
        self._typed_at[conversation_id] = now
        self._supervisor.background(self._type(channel, peer, last), "typing sign")

    def acknowledge(self, channel: Channel, token: str) -> None:
        """Tell the provider that a tap arrived, so that the customer's button stops spinning."""
        self._supervisor.background(self._acknowledge(channel, token), "acknowledge a tap")

    async def _route(
        self, caller: Principal, conversation_id: UUID
    ) -> tuple[Channel, tuple[Address, ...], str | None] | None:
        """``None``: the contact is blocked, and is told nothing at all."""
        async with self._database.transaction(readonly=True) as unit:
            thread = await self._conversations.access(unit, caller, conversation_id)
            if (await reach_rows.reach(unit, caller.workspace_id, thread.identity_id)).blocked:
                return None
            peer = await contact_rows.addresses_of(unit, caller.workspace_id, thread.identity_id)
            last = await message_rows.last_inbound_id(unit, caller.workspace_id, conversation_id)
        return await self._directory.get(caller.workspace_id, thread.channel_id), peer, last

    async def _read(self, caller: Principal, conversation_id: UUID) -> None:
        route = await self._route(caller, conversation_id)
        if route is None:
            return
        channel, peer, last = route
        if not channel.capabilities.mark_read or last is None:
            return
        try:
            await channel.adapter.mark_read(self._http, channel.account, peer, last)
        except (ChannelError, HttpError) as error:
            log.info("mark as read was not taken: %s", error, extra={"channel": str(channel.id)})

    async def _type(self, channel: Channel, peer: tuple[Address, ...], external_id: str | None) -> None:
        try:
            await channel.adapter.typing(self._http, channel.account, peer, external_id)
        except (ChannelError, HttpError) as error:
            log.info("the typing sign was not taken: %s", error, extra={"channel": str(channel.id)})

    async def _acknowledge(self, channel: Channel, token: str) -> None:
        try:
            await channel.adapter.acknowledge(self._http, channel.account, token)
        except (ChannelError, HttpError) as error:
            log.info("a tap could not be acknowledged: %s", error, extra={"channel": str(channel.id)})
