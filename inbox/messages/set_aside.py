"""What blocked contacts send: stored apart, told to supervisors alone, and never moved into a thread.

Invariant: each of the provider's ids stands in one place. What was set aside stays so when it comes again after the
contact was unblocked, and what a thread shows is not set aside when it comes again during a block
(``set_aside_rows.find_known``). The row of the contact is held by the transaction (``contacts.resolution``), so the
block can neither begin nor end while it decides. What was unsent loses its content wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from channels.inbound import MessageEdited, MessageReceived, MessageUnsent, ReactionChanged
from channels.types import Person
from inbox.connections.directory import Channel
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.encoding import encode
from inbox.kernel.ids import new_id
from inbox.media.attachments import Attachments
from inbox.media.repository import NewMedia
from inbox.messages import set_aside_rows as rows
from inbox.messages import set_aside_schemas as events
from inbox.messages.set_aside_rows import NewAside


class SetAside:
    def __init__(self, attachments: Attachments) -> None:
        self._attachments = attachments

    def prepare(
        self, channel: Channel, identity_id: UUID, inbound: MessageReceived, accepted_at: datetime
    ) -> tuple[NewAside, list[NewMedia]]:
        """The row of a message, and its files: fetched as for any other, and shown to supervisors."""
        aside_id = new_id()
        described = self._attachments.describe(aside_id, channel.id, inbound.parts)
        author = inbound.author or inbound.peer
        return NewAside(
            id=aside_id,
            channel_id=channel.id,
            identity_id=identity_id,
            external_id=inbound.external_id,
            kind="message",
            about_id=None,
            author_name=author.name or author.username,
            parts=encode(described.parts),
            opens_window=inbound.opens_window,
            occurred_at=inbound.occurred_at,
            created_at=accepted_at,
        ), list(described.new)

    async def store(self, unit: UnitOfWork, workspace_id: UUID, new: Sequence[NewAside]) -> None:
        """Messages. Raises ``Contended`` when another transaction stored one of them meanwhile."""
        if not new:
            return
        views = await rows.insert_many(unit, workspace_id, new)
        if len(views) != len(new):
            raise Contended("a message was set aside by another transaction")
        unit.record_all([events.created(workspace_id, view) for view in views])

    async def revise(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        channel: Channel,
        aside_id: UUID,
        inbound: MessageEdited | MessageUnsent | ReactionChanged,
        accepted_at: datetime,
    ) -> None:
        """A later word about something that was set aside, whether or not they are still blocked."""
        match inbound:
            case MessageEdited():
                known = await self._attachments.known(unit, workspace_id, aside_id)
                described = self._attachments.describe(aside_id, channel.id, inbound.parts, known)
                parts = encode(described.parts)
                view = await rows.replace_parts(unit, workspace_id, aside_id, parts, inbound.occurred_at)
                if view is not None:
                    await self._attachments.expect(unit, workspace_id, described.new)
                    unit.record(events.updated(workspace_id, view))
            case MessageUnsent():
                await self.unsend(unit, workspace_id, aside_id, inbound.occurred_at)
            case ReactionChanged():
                identity_id = await rows.identity_of(unit, workspace_id, aside_id)
                await self.later_word(unit, workspace_id, channel, identity_id, aside_id, inbound, accepted_at)

    async def unsend(self, unit: UnitOfWork, workspace_id: UUID, message_id: UUID, at: datetime) -> None:
        """Also for messages of a thread: what was set aside about them goes with them."""
        views = await rows.unsend(unit, workspace_id, message_id, at)
        await self._attachments.forget(unit, workspace_id, [view.id for view in views])
        unit.record_all([events.updated(workspace_id, view) for view in views])

    async def later_word(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        channel: Channel,
        identity_id: UUID,
        about_id: UUID,
        inbound: MessageEdited | ReactionChanged,
        accepted_at: datetime,
    ) -> None:
        """An edit or a reaction of somebody who is blocked: what it is about stays as it was before the block."""
        aside_id = new_id()
        at = inbound.occurred_at
        if isinstance(inbound, MessageEdited):
            described = self._attachments.describe(aside_id, channel.id, inbound.parts)
            kind, parts, new, opens, who = "edit", encode(described.parts), described.new, False, inbound.peer
        else:
            parts, new = encode([{"type": "reaction", "emoji": inbound.emoji}]), []
            kind, opens, who = "reaction", inbound.opens_window, inbound.author or inbound.peer
        aside = NewAside(
            id=aside_id,
            channel_id=channel.id,
            identity_id=identity_id,
            external_id=f"{kind}:{inbound.external_id}:{_address(who)}:{at.timestamp():.3f}",
            kind=kind,
            about_id=about_id,
            author_name=None if who is None else who.name or who.username,
            parts=parts,
            opens_window=opens,
            occurred_at=at,
            created_at=accepted_at,
        )
        views = await rows.insert_many(unit, workspace_id, [aside])
        if views:  # else this webhook came before
            await self._attachments.expect(unit, workspace_id, new)
            unit.record(events.created(workspace_id, views[0]))


def _address(person: Person | None) -> str:
    return person.addresses[0].value if person is not None and person.addresses else ""
