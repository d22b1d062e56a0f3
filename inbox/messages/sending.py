"""Queuing a message: checked against the channel's limits and its state, stored with its deliveries in one transaction.

Invariant: with a client token, however often and wherever the same send is repeated, there is one message (B14):
``UNIQUE (workspace, author, client token)`` decides, and the loser answers with the winner's message.
What may be sent now is decided here so that an agent hears at once; what may go out is decided again by the gate (P8).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from channels.errors import ContentRefused
from channels.outbound import OutboundMedia, OutboundPart, OutboundReaction, OutboundTemplate, Piece
from contacts import repository as contact_rows
from inbox.agents.principal import Principal
from inbox.connections.directory import Channel, Directory
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations, note_message
from inbox.conversations.window import sending_until
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.encoding import encode
from inbox.kernel.errors import Conflict, InboxError, Invalid
from inbox.kernel.ids import new_id
from inbox.media.schemas import MediaView
from inbox.messages import events
from inbox.messages import repository as rows
from inbox.messages.outgoing import (
    UNCONDITIONAL,
    Author,
    NewDelivery,
    SendConditions,
    insert_deliveries,
    insert_outgoing,
)
from inbox.messages.preview import outgoing_preview
from inbox.messages.schemas import MediaIn, MessageView, OriginView, SendIn


class ComposerRefused(Conflict):
    """The conversation cannot take a message now (B4). ``reason`` is for programs, the detail for people."""

    code = "composer_refused"


class ContentTooLarge(InboxError):
    """The content does not fit what the channel takes. ``limit`` names the capability, ``allowed`` its value."""

    status, code, title = 422, "content_refused", "The channel does not take this content"


class TokenReused(InboxError):
    """The client token stands for another message already."""

    status, code, title = 422, "client_token_reused", "This token was used for a different message"


class Files(Protocol):
    """Our stored files, as far as a send needs them."""

    async def outgoing(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], *, caller: Principal | None
    ) -> dict[UUID, MediaView]: ...

    async def attach(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], message_id: UUID, channel_id: UUID
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Sent:
    """``replayed``: the token was seen before, and nothing new was sent."""

    message: MessageView
    replayed: bool


class Sending:
    def __init__(
        self,
        database: Database,
        directory: Directory,
        conversations: Conversations,
        files: Files,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._directory = directory
        self._conversations = conversations
        self._files = files
        self._wake = wake

    async def send(self, caller: Principal, conversation_id: UUID, order: SendIn) -> Sent:
        """Raises ``ComposerRefused``, ``ContentTooLarge``, ``TokenReused``, ``ConversationUnknown``."""
        fingerprint = _fingerprint(conversation_id, order)

        async def work(unit: UnitOfWork) -> Sent:
            thread = await self._conversations.access(unit, caller, conversation_id, lock=True)
            if order.client_token is not None:
                earlier = await rows.find_by_token(unit, caller.workspace_id, caller.agent_id, order.client_token)
                if earlier is not None:
                    return _replay(earlier, fingerprint)
            channel = await self._directory.get(caller.workspace_id, thread.channel_id)
            person = caller.role != "bot"
            message = await self.queue(
                unit,
                caller,
                thread,
                channel,
                order,
                lease_epoch=None if person else thread.epoch,
                takes_over=person,
                fingerprint=fingerprint,
            )
            return Sent(message, replayed=False)

        return await self._database.retrying(work)

    async def queue(
        self,
        unit: UnitOfWork,
        author: Principal | Author,
        thread: Thread,
        channel: Channel,
        order: SendIn,
        *,
        origin: OriginView | None = None,
        conditions: SendConditions = UNCONDITIONAL,
        lease_epoch: int | None = None,
        takes_over: bool = False,
        fingerprint: bytes | None = None,
    ) -> MessageView:
        """Queue a message in the transaction of the caller, who holds the lock of ``thread`` and has changed nothing in
        it that is not written. Raises ``ComposerRefused``, ``ContentTooLarge``, ``Invalid``; then nothing was queued.

        A ``Principal`` sends now, with files that are theirs to see; an ``Author`` has ordered it earlier, and what
        they named was checked then. ``lease_epoch``: refuse it, now and at the gate, once another responder has taken
        over. ``takes_over``: who sends this becomes the responder.
        """
        writer, caller = (author, None) if isinstance(author, Author) else (Author.of(author), author)
        workspace_id = writer.workspace_id
        files = await self._files.outgoing(unit, workspace_id, _media_ids(order), caller=caller)
        parts = await self._parts(unit, workspace_id, thread, order, files)
        purpose = "reply" if order.purpose == "human_agent" and writer.kind != "agent" else order.purpose
        _check_conditions(thread, conditions, lease_epoch if order.epoch is None else order.epoch)
        await self._allow(unit, workspace_id, thread, channel, purpose, parts, bulk=conditions.bulk)
        quoted = await self._quoted(unit, workspace_id, thread, order.reply_to_id)
        pieces = _plan(channel, parts)
        now = datetime.now(UTC)
        message_id = new_id()
        number = note_message(thread, direction="out", preview=outgoing_preview(parts), at=now)
        if takes_over:
            thread.epoch += 1
        inserted = await insert_outgoing(
            unit,
            workspace_id,
            message_id,
            thread,
            number=number,
            author=writer,
            parts=encode([_shown(part, files) for part in parts]),
            reply_to=quoted,
            client_token=order.client_token,
            fingerprint=fingerprint,
            origin=origin,
            at=now,
        )
        await self._files.attach(unit, workspace_id, files.keys(), message_id, channel.id)
        await insert_deliveries(
            unit,
            workspace_id,
            thread,
            [NewDelivery(new_id(), message_id, ordinal, piece) for ordinal, piece in enumerate(pieces)],
            purpose=purpose,
            lease_epoch=lease_epoch,
            conditions=conditions,
            at=now,
        )
        await self._conversations.save(unit, workspace_id, [thread])
        unit.record(events.created(workspace_id, inserted, thread_rows.view(thread, channel.window_hours)))
        unit.after_commit(self._wake)
        return inserted

    async def _parts(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        thread: Thread,
        order: SendIn,
        files: Mapping[UUID, MediaView],
    ) -> Sequence[OutboundPart]:
        """Reactions name one of our messages; the provider wants its own id. Files bring what is known about them."""
        parts = []
        for index, given in enumerate(order.parts):
            part = given.part()
            if isinstance(part, OutboundReaction):
                target = await rows.external_id_of(unit, workspace_id, thread.id, UUID(part.target))
                if target is None:
                    raise Invalid.at(f"/body/parts/{index}/message_id", "the provider knows no such message here")
                part = OutboundReaction(target, part.emoji)
            elif isinstance(part, OutboundMedia) and part.media_id is not None:
                file = files.get(UUID(part.media_id))
                if file is None:
                    raise Invalid.at(f"/body/parts/{index}/media_id", "there is no such file to send", "media_unknown")
                name = part.filename or file.filename
                part = replace(part, mime_type=file.mime_type, size=file.size, filename=name)
            parts.append(part)
        return parts

    async def _quoted(
        self, unit: UnitOfWork, workspace_id: UUID, thread: Thread, message_id: UUID | None
    ) -> tuple[UUID, str] | None:
        if message_id is None:
            return None
        external_id = await rows.external_id_of(unit, workspace_id, thread.id, message_id)
        if external_id is None:
            raise Invalid.at("/body/reply_to_id", "the provider knows no such message in this conversation")
        return message_id, external_id

    async def _allow(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        thread: Thread,
        channel: Channel,
        purpose: str,
        parts: Sequence[OutboundPart],
        *,
        bulk: bool,
    ) -> None:
        """Refuse what would be refused at the gate anyway, with the reason (B4)."""
        reach = await contact_rows.reach(unit, workspace_id, thread.identity_id)
        if await self._directory.state(unit.connection, workspace_id, channel.id) != "enabled":
            raise ComposerRefused("this channel is disabled", reason="channel_disabled")
        if reach.blocked:
            raise ComposerRefused("this contact is blocked", reason="contact_blocked")
        if reach.unreachable is not None:
            raise ComposerRefused(f"this contact cannot be reached: {reach.unreachable}", reason="unreachable")
        if reach.marketing_stopped and (bulk or purpose == "marketing"):
            raise ComposerRefused("this person has stopped marketing messages", reason="opted_out")
        window = channel.adapter.capabilities.window
        if window is None or all(isinstance(part, OutboundTemplate) for part in parts):
            return
        expires_at = sending_until(window, purpose, thread.window_opened_at, thread.window_closed_at)
        if expires_at is None or expires_at <= datetime.now(UTC):
            raise ComposerRefused(
                "the messaging window is closed: the customer has to write first, or send a template"
                if window.templates_outside
                else "the messaging window is closed: the customer has to write first",
                reason="window_closed",
                window_expires_at=expires_at,
            )


def _check_conditions(thread: Thread, conditions: SendConditions, epoch: int | None) -> None:
    """The same as the gate will ask of them, in its order. ``epoch``: of the responder who wrote the message."""
    if epoch is not None and epoch != thread.epoch:
        raise ComposerRefused("somebody else has answered since", reason="superseded", epoch=thread.epoch)
    if conditions.hold_after_number is not None and thread.last_inbound_number > conditions.hold_after_number:
        raise ComposerRefused("the customer has written since", reason="replied", number=thread.last_inbound_number)
    if conditions.stop_when_closed and thread.status == "closed":
        raise ComposerRefused("the conversation is closed", reason="conversation_closed")


def _plan(channel: Channel, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
    try:
        return channel.adapter.plan(parts)
    except ContentRefused as refused:
        raise ContentTooLarge(
            refused.reason,
            reason=refused.code,
            limit=refused.limit,
            allowed=refused.allowed,
            pointer=f"/body/parts/{refused.part}",
        ) from None


def _media_ids(order: SendIn) -> set[UUID]:
    return {part.media_id for part in order.parts if isinstance(part, MediaIn) and part.media_id is not None}


def _shown(part: OutboundPart, files: Mapping[UUID, MediaView]) -> object:
    """A part with one of our files holds its view, as those that came in do."""
    if isinstance(part, OutboundMedia) and part.media_id is not None:
        return {**asdict(part), "media": files[UUID(part.media_id)]}
    return part


def _fingerprint(conversation_id: UUID, order: SendIn) -> bytes:
    body = order.model_dump_json(exclude={"client_token"})
    return hashlib.sha256(conversation_id.bytes + body.encode()).digest()


def _replay(earlier: tuple[MessageView, bytes | None], fingerprint: bytes) -> Sent:
    message, known = earlier
    if known != fingerprint:
        raise TokenReused("send a new message with a new token; to repeat one, repeat it exactly")
    return Sent(message, replayed=True)
