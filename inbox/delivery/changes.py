"""Editing and taking back what was sent, where the channel can.

Invariant: the intent is committed before the request leaves, and what we show changes only after the provider said yes.
A refusal changes nothing; an outcome that nobody knows is recorded as such, and doing it again does no harm, because
both requests say what shall be and not what shall happen. One change of a message is under way at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn
from uuid import UUID

from channels.abilities import EditsMessages
from channels.adapter import Http
from channels.errors import ContentRefused, SendError
from channels.outbound import OutboundPart
from channels.types import Address, Fault
from contacts import repository as contact_rows
from inbox.agents.principal import Principal
from inbox.connections.asking import ProviderRefused
from inbox.connections.directory import Channel, Directory
from inbox.connections.health import ChannelHealth
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations
from inbox.delivery import change_rows as rows
from inbox.delivery.outcomes import OUTCOME_UNKNOWN
from inbox.delivery.schemas import ChangeKind, ChangeState, ChangeView, EditIn
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.encoding import encode
from inbox.kernel.errors import Conflict, Forbidden, InboxError, Unavailable
from inbox.kernel.http_errors import HttpError
from inbox.kernel.ids import new_id
from inbox.media.attachments import Attachments
from inbox.messages import events
from inbox.messages import repository as message_rows
from inbox.messages.composing import ContentTooLarge
from inbox.messages.preview import UNSENT, outgoing_preview
from inbox.messages.schemas import MessageView
from inbox.messages.sending import ComposerRefused, plan
from inbox.messages.service import MessageUnknown
from inbox.messages.statuses import stored_fault

log = logging.getLogger(__name__)

SENT: Final = ("sent", "delivered", "read", "played")
LOST: Final = Fault(
    OUTCOME_UNKNOWN,
    "It is not known whether the provider did this: the connection ended before it answered. Doing it again is safe.",
)


class NotChangeable(Conflict):
    """``reason``: ``not_offered``, ``not_ours``, ``not_sent``, ``unsent``, ``several_messages``, ``too_old``,
    ``under_way``."""

    code, title = "not_changeable", "This message cannot be changed"


class OutcomeUnknown(InboxError):
    status, code, title = 504, OUTCOME_UNKNOWN, "It is not known whether the provider did this"


@dataclass(frozen=True, slots=True)
class _Change:
    """What was decided in the transaction that recorded the intent."""

    id: UUID
    message: MessageView
    channel: Channel
    adapter: EditsMessages
    peer: tuple[Address, ...]
    external_ids: tuple[str, ...]


class MessageChanges:
    def __init__(
        self,
        database: Database,
        conversations: Conversations,
        directory: Directory,
        attachments: Attachments,
        health: ChannelHealth,
        http: Http,
        *,
        send_timeout: float,
    ) -> None:
        self._database = database
        self._conversations = conversations
        self._directory = directory
        self._attachments = attachments
        self._health = health
        self._http = http
        self._send_timeout = send_timeout

    async def edit(self, caller: Principal, message_id: UUID, order: EditIn) -> MessageView:
        """Raises ``MessageUnknown``, ``NotChangeable``, ``ComposerRefused``, ``ContentTooLarge``, ``ProviderRefused``,
        ``OutcomeUnknown``, ``Unavailable``."""
        part = order.part.part()

        async def begin(unit: UnitOfWork) -> tuple[_Change, bytes]:
            message, thread, channel = await self._open(unit, caller, message_id, epoch=order.epoch)
            standing = await self._conversations.standing(unit, channel, thread)
            refusal = standing.refusal(datetime.now(UTC))
            if refusal is not None and refusal.reason != "window_closed":
                raise ComposerRefused(refusal.detail, reason=refusal.reason)
            pieces = await rows.at_provider(unit, caller.workspace_id, message_id)
            if len(pieces) > 1 or any(len(piece.ids) > 1 for piece in pieces):
                raise NotChangeable("it was sent as several messages", reason="several_messages")
            if len(plan(channel, [part])) > 1:
                raise NotChangeable(
                    "the new words are too long for one message",
                    reason="several_messages",
                    limit="text.maximum",
                    allowed=channel.capabilities.text.maximum,
                )
            shown = encode(_edited(message.parts, part))
            return await self._begin(unit, caller, message, thread, channel, "edit", shown), shown

        change, shown = await self._database.retrying(begin)
        external_id = change.external_ids[0]
        await self._carry_out(
            change,
            lambda: change.adapter.edit(self._http, change.channel.account, change.peer, external_id, [part]),
        )

        async def finish(unit: UnitOfWork) -> MessageView:
            thread = await self._conversations.lock(unit, caller.workspace_id, change.message.conversation_id)
            at = datetime.now(UTC)
            await self._conversations.retell(
                unit, caller.workspace_id, thread, change.message.number, outgoing_preview([part]), at
            )
            edited = await message_rows.replace_parts(unit, caller.workspace_id, message_id, shown, at)
            return await self._finish(unit, caller, change, edited)

        return await self._database.retrying(finish)

    async def delete(self, caller: Principal, message_id: UUID) -> MessageView:
        """Take a message back for both sides. Raises what ``edit`` raises but for content."""

        async def begin(unit: UnitOfWork) -> _Change:
            message, thread, channel = await self._open(unit, caller, message_id, epoch=None)
            if await self._directory.state(unit.connection, caller.workspace_id, channel.id) != "enabled":
                raise ComposerRefused("this channel is disabled", reason="channel_disabled")
            hours = channel.capabilities.delete_within_hours
            pieces = await rows.at_provider(unit, caller.workspace_id, message_id)
            oldest = min((piece.sent_at for piece in pieces if piece.sent_at is not None), default=None)
            if hours is not None and oldest is not None and oldest < datetime.now(UTC) - timedelta(hours=hours):
                raise NotChangeable(
                    f"this channel takes messages back within {hours} hours",
                    reason="too_old",
                    delete_within_hours=hours,
                )
            return await self._begin(unit, caller, message, thread, channel, "delete", None)

        change = await self._database.retrying(begin)

        async def take_back() -> None:
            for external_id in change.external_ids:
                await change.adapter.delete(self._http, change.channel.account, change.peer, external_id)

        await self._carry_out(change, take_back)

        async def finish(unit: UnitOfWork) -> MessageView:
            thread = await self._conversations.lock(unit, caller.workspace_id, change.message.conversation_id)
            at = datetime.now(UTC)
            await self._conversations.retell(unit, caller.workspace_id, thread, change.message.number, UNSENT, at)
            gone = await message_rows.unsend(unit, caller.workspace_id, message_id, at)
            await self._attachments.forget(unit, caller.workspace_id, [message_id])
            return await self._finish(unit, caller, change, gone)

        return await self._database.retrying(finish)

    async def list(self, caller: Principal, message_id: UUID) -> list[ChangeView]:
        """Raises ``MessageUnknown``."""
        caller.require("conversations.read")
        async with self._database.transaction(readonly=True) as unit:
            message = await message_rows.find(unit, caller.workspace_id, message_id)
            if message is None:
                raise MessageUnknown("there is no such message")
            await self._conversations.access(unit, caller, message.conversation_id)
            return await rows.of_message(unit, caller.workspace_id, message_id)

    # --- before -------------------------------------------------------------------------------------------------------

    async def _open(
        self, unit: UnitOfWork, caller: Principal, message_id: UUID, *, epoch: int | None
    ) -> tuple[MessageView, Thread, Channel]:
        """The message, with its conversation locked, if it is one of ours that a provider has."""
        caller.require("messages.send")
        found = await message_rows.find(unit, caller.workspace_id, message_id)
        if found is None:
            raise MessageUnknown("there is no such message")
        thread = await self._conversations.access(unit, caller, found.conversation_id, lock=True)
        message = await message_rows.find(unit, caller.workspace_id, message_id)
        if message is None:
            raise MessageUnknown("there is no such message")
        if caller.confined and message.author.id != caller.agent_id:
            raise Forbidden("a bot may change only what it sent itself")
        if epoch is not None and epoch != thread.epoch:
            raise ComposerRefused("somebody else has answered since", reason="superseded", epoch=thread.epoch)
        if message.direction != "out" or message.author.kind == "native_app":
            raise NotChangeable("only messages that were sent from here can be changed", reason="not_ours")
        if message.unsent_at is not None:
            raise NotChangeable("it was taken back already", reason="unsent")
        if message.status not in SENT:
            raise NotChangeable("it has not been sent", reason="not_sent", message_status=message.status)
        return message, thread, await self._directory.get(caller.workspace_id, thread.channel_id)

    async def _begin(
        self,
        unit: UnitOfWork,
        caller: Principal,
        message: MessageView,
        thread: Thread,
        channel: Channel,
        kind: ChangeKind,
        parts: bytes | None,
    ) -> _Change:
        adapter, capabilities = channel.adapter, channel.capabilities
        offered = capabilities.edit if kind == "edit" else capabilities.delete
        if not offered or not isinstance(adapter, EditsMessages):
            verb = "edit" if kind == "edit" else "take back"
            raise NotChangeable(f"{channel.kind} cannot {verb} messages", reason="not_offered")
        pieces = await rows.at_provider(unit, caller.workspace_id, message.id)
        external_ids = tuple(external_id for piece in pieces for external_id in piece.ids)
        if not external_ids:
            raise NotChangeable("the provider did not tell what it calls this message", reason="not_sent")
        change_id = new_id()
        if not await rows.begin(unit, caller.workspace_id, change_id, message.id, kind, parts, caller.agent_id):
            raise NotChangeable("another change of this message is under way", reason="under_way")
        peer = await contact_rows.addresses_of(unit, caller.workspace_id, thread.identity_id)
        return _Change(change_id, message, channel, adapter, tuple(peer), external_ids)

    # --- the request --------------------------------------------------------------------------------------------------

    async def _carry_out(self, change: _Change, request: Callable[[], Awaitable[None]]) -> None:
        """Returns when the provider said yes; otherwise the change has ended with its reason, which is raised."""
        try:
            async with asyncio.timeout(self._send_timeout):
                await request()
        except ContentRefused as refused:
            await self._end(change, "not_sent", Fault(refused.code, refused.reason))
            raise ContentTooLarge.of(refused) from None
        except SendError as error:
            await self._refused(change, error.fault)
        except HttpError as error:
            if error.sent:
                await self._unknown(change)
            fault = Fault("provider_unreachable", f"The provider cannot be reached: {error.reason}.", retryable=True)
            await self._end(change, "not_sent", fault)
            raise Unavailable(fault.reason, retry_after=5) from error
        except TimeoutError:
            await self._unknown(change)
        except Exception:
            # A bug of ours after the request may have left: the careful answer is that we do not know.
            log.exception("a change of a message failed", extra={"kind": change.channel.kind})
            await self._unknown(change)

    async def _refused(self, change: _Change, fault: Fault) -> NoReturn:
        if fault.code == OUTCOME_UNKNOWN:
            await self._unknown(change)
        await self._end(change, "refused", fault)
        raise ProviderRefused(fault.reason, reason=fault.code, provider_code=fault.provider_code)

    async def _unknown(self, change: _Change) -> NoReturn:
        await self._end(change, "unknown", LOST)
        raise OutcomeUnknown(LOST.reason)

    async def _end(self, change: _Change, state: ChangeState, fault: Fault) -> None:
        async def work(unit: UnitOfWork) -> None:
            await rows.end(unit, change.channel.workspace_id, change.id, state, stored_fault(fault))
            if fault.reauthorise:
                await self._health.token_refused(unit, change.channel, fault.reason)

        await self._database.retrying(work)

    async def _finish(
        self, unit: UnitOfWork, caller: Principal, change: _Change, after: MessageView | None
    ) -> MessageView:
        await rows.end(unit, caller.workspace_id, change.id, "done", None)
        if after is not None:
            unit.record(events.updated(caller.workspace_id, after))
            return after
        found = await message_rows.find(unit, caller.workspace_id, change.message.id)
        if found is None:
            raise MessageUnknown("there is no such message")
        return found


def _edited(before: Sequence[Any], part: OutboundPart) -> list[Any]:
    """Words of a message with a file are its caption; otherwise the new part takes the place of the old."""
    if part.type == "text" and before and before[0].get("type") == "media":
        return [{**before[0], "caption": part.text, "entities": part.entities}, *before[1:]]
    return [part]
