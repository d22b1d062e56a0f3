"""Queuing a message: checked against the channel's limits and its state, stored with its deliveries in one transaction.

Invariant: with a client token, however often and wherever the same send is repeated, there is one message (B14):
``UNIQUE (workspace, author, client token)`` decides, and the loser answers with the winner's message.
What may be sent now is decided here so that an agent hears at once; what may go out is decided again by the gate (P8).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeAlias
from uuid import UUID

from channels.errors import ContentRefused
from channels.outbound import OutboundPart, Piece
from inbox.agents.principal import Principal
from inbox.connections.directory import Channel, Directory
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations, ConversationUnknown, note_message
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.encoding import encode
from inbox.kernel.errors import Conflict, InboxError, Invalid
from inbox.kernel.ids import new_id
from inbox.media.schemas import MediaView
from inbox.messages import events
from inbox.messages import repository as rows
from inbox.messages.composing import Composed, Composer, ContentTooLarge, media_ids
from inbox.messages.outgoing import (
    PLANNED,
    UNCONDITIONAL,
    Author,
    NewDelivery,
    SendConditions,
    insert_deliveries,
    insert_outgoing,
)
from inbox.messages.preview import outgoing_preview
from inbox.messages.schemas import MessageView, OriginView, SendIn, TemplateIn
from inbox.templates.service import AUTHENTICATION, MARKETING, Templates


class ComposerRefused(Conflict):
    """The conversation cannot take a message now (B4). ``reason`` is for programs, the detail for people."""

    code = "composer_refused"


class TemplateNeedsPhone(ContentTooLarge):
    """A template of one-time codes for somebody who is known to this channel without a telephone number."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reason="template_needs_phone", limit="template", allowed=None, pointer="/body/parts")


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


Lease: TypeAlias = Callable[[UnitOfWork, Principal, Thread, int | None], Awaitable[OriginView]]
"""What a message of a program comes from, if it holds this conversation, which is locked, under the epoch that it names
or any. Raises ``ComposerRefused`` with what happened, ``ConversationUnknown`` where it has no business."""


async def nobodys(unit: UnitOfWork, caller: Principal, thread: Thread, epoch: int | None) -> OriginView:
    raise ConversationUnknown("there is no such conversation")


class Sending:
    def __init__(
        self,
        database: Database,
        directory: Directory,
        conversations: Conversations,
        files: Files,
        templates: Templates,
        wake: Callable[[], None],
        lease: Lease = nobodys,
    ) -> None:
        self._database = database
        self._directory = directory
        self._conversations = conversations
        self._files = files
        self._templates = templates
        self._wake = wake
        self._lease = lease

    async def send(self, caller: Principal, conversation_id: UUID, order: SendIn) -> Sent:
        """Raises ``Forbidden``, ``ComposerRefused``, ``ContentTooLarge``, ``TokenReused``, ``ConversationUnknown``."""
        caller.require("messages.send")
        fingerprint = _fingerprint(conversation_id, order)

        async def work(unit: UnitOfWork) -> Sent:
            thread = await self._conversations.lock(unit, caller.workspace_id, conversation_id)
            if order.client_token is not None:
                earlier = await rows.find_by_token(unit, caller.workspace_id, caller.agent_id, order.client_token)
                if earlier is not None:
                    return _replay(earlier, fingerprint)
            origin = await self._lease(unit, caller, thread, order.epoch) if caller.confined else None
            channel = await self._directory.get(caller.workspace_id, thread.channel_id)
            message = await self.queue(
                unit,
                caller,
                thread,
                channel,
                order,
                origin=origin,
                lease_epoch=None if origin is None else thread.epoch,
                takes_over=origin is None,
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
        at: datetime | None = None,
    ) -> MessageView:
        """Queue a message in the transaction of the caller, who holds the lock of ``thread`` and has changed nothing in
        it that is not written. Raises ``ComposerRefused``, ``ContentTooLarge``, ``Invalid``; then nothing was queued.

        A ``Principal`` sends now, with files that are theirs to see; an ``Author`` has ordered it earlier, and what
        they named was checked then. ``lease_epoch``: refuse it, now and at the gate, once another responder has taken
        over. ``takes_over``: who sends this becomes the responder. ``at``: the database's time, where it is known: the
        clocks of nodes differ.
        """
        now = at or datetime.now(UTC)
        writer, caller = (author, None) if isinstance(author, Author) else (Author.of(author), author)
        workspace_id = writer.workspace_id
        files = await self._files.outgoing(unit, workspace_id, media_ids(order.parts), caller=caller)
        composed = await Composer(self._templates, unit, channel, thread.id, files).compose(order.parts)
        purpose = "reply" if order.purpose == "human_agent" and writer.kind != "agent" else order.purpose
        named = [(part.name, part.language) for part in order.parts if isinstance(part, TemplateIn)]
        categories = await self._templates.categories(unit, channel, named)
        if MARKETING in categories:
            purpose = "marketing"  # whatever the sender calls it; the gate asks by the purpose, too
        _check_conditions(thread, conditions, lease_epoch if order.epoch is None else order.epoch)
        await self._allow(unit, thread, channel, purpose, composed, categories, bulk=conditions.bulk, now=now)
        quoted = await self._quoted(unit, workspace_id, thread, order.reply_to_id)
        pieces = plan(channel, composed.parts)
        message_id = new_id()
        number = note_message(thread, direction="out", preview=outgoing_preview(composed.parts), at=now)
        if takes_over:
            thread.epoch += 1
        inserted = await insert_outgoing(
            unit,
            workspace_id,
            message_id,
            thread,
            number=number,
            author=writer,
            parts=encode(composed.shown),
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
            planned=origin is not None and origin.kind in PLANNED and not takes_over,
            at=now,
        )
        await self._conversations.save(unit, workspace_id, [thread])
        unit.record(events.created(workspace_id, inserted, thread_rows.view(thread, channel.window_hours)))
        unit.after_commit(self._wake)
        return inserted

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
        thread: Thread,
        channel: Channel,
        purpose: str,
        composed: Composed,
        categories: Collection[str],
        *,
        bulk: bool,
        now: datetime,
    ) -> None:
        """Refuse what would be refused at the gate anyway, with the reason (B4)."""
        standing = await self._conversations.standing(unit, channel, thread)
        refusal = standing.refusal(
            now,
            purpose=purpose,
            template=composed.templates_only,
            marketing=bulk or purpose == "marketing",
        )
        if refusal is None:
            if AUTHENTICATION in categories and not standing.reach.by_phone:
                raise TemplateNeedsPhone("codes are sent to telephone numbers, and none of this person is known")
            return
        if refusal.reason != "window_closed":
            raise ComposerRefused(refusal.detail, reason=refusal.reason)
        usable = await self._templates.usable(unit, channel, standing.reach) if standing.templates_outside else []
        raise ComposerRefused(
            refusal.detail,
            reason=refusal.reason,
            window_expires_at=refusal.window_expires_at,
            templates=[asdict(template) for template in usable],
        )


def _check_conditions(thread: Thread, conditions: SendConditions, epoch: int | None) -> None:
    """The same as the gate will ask of them, in its order. ``epoch``: of the responder who wrote the message."""
    if epoch is not None and epoch != thread.epoch:
        raise ComposerRefused("somebody else has answered since", reason="superseded", epoch=thread.epoch)
    if conditions.hold_after_number is not None and thread.last_inbound_number > conditions.hold_after_number:
        raise ComposerRefused("the customer has written since", reason="replied", number=thread.last_inbound_number)
    if conditions.stop_when_closed and thread.status == "closed":
        raise ComposerRefused("the conversation is closed", reason="conversation_closed")


def plan(channel: Channel, parts: Sequence[OutboundPart]) -> tuple[Piece, ...]:
    """Raises ``ContentTooLarge``."""
    try:
        return channel.adapter.plan(parts)
    except ContentRefused as refused:
        raise ContentTooLarge.of(refused) from None


def _fingerprint(conversation_id: UUID, order: SendIn) -> bytes:
    body = order.model_dump_json(exclude={"client_token"})
    return hashlib.sha256(conversation_id.bytes + body.encode()).digest()


def _replay(earlier: tuple[MessageView, bytes | None], fingerprint: bytes) -> Sent:
    message, known = earlier
    if known != fingerprint:
        raise TokenReused("send a new message with a new token; to repeat one, repeat it exactly")
    return Sent(message, replayed=True)
