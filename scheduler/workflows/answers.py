"""What a bot answers to its webhook: messages, a hand-off or the end, done in one transaction, once for each event.

Invariant: the event is marked as answered in the commit that does what was answered, under the epoch that the event
itself carries. So a crash after the bot's answer repeats the delivery, and a repeated answer changes nothing; a late
one is refused like a late request. What cannot be understood changes nothing and is told to the delivery log.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from inbox.agents.principal import Principal
from inbox.connections.directory import Directory
from inbox.conversations.repository import Thread
from inbox.conversations.service import Conversations, ConversationUnknown
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.errors import Fault, InboxError, Invalid, Unavailable
from inbox.kernel.eventlog import StoredEvent
from inbox.kernel.payload import json_faults, validate_json
from inbox.messages import repository as message_rows
from inbox.messages.schemas import OriginView, SendIn
from inbox.messages.sending import Sending
from inbox.subscriptions.answers import Answer
from inbox.subscriptions.signing import message_id
from scheduler.workflows import bot_rows
from scheduler.workflows import repository as rows
from scheduler.workflows.bot_rows import Bot
from scheduler.workflows.handing import Handing
from scheduler.workflows.leases import superseded
from scheduler.workflows.repository import Run
from scheduler.workflows.schemas import BotAnswer

LONGEST_PROBLEM: Final = 400


class _Conversation(BaseModel):
    model_config = ConfigDict(extra="ignore")

    responder_epoch: int


class _Told(BaseModel):
    """As much of an event as says under which lease it was told."""

    model_config = ConfigDict(extra="ignore")

    conversation: _Conversation | None = None


BODY: Final = TypeAdapter(BotAnswer)


class Answers:
    """Fits ``subscriptions.answers.Answers``."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        conversations: Conversations,
        sending: Sending,
        handing: Handing,
    ) -> None:
        self._database = database
        self._directory = directory
        self._conversations = conversations
        self._sending = sending
        self._handing = handing

    async def take(self, answer: Answer) -> str | None:
        """What was wrong with it, or None. Raises ``Unavailable``: nothing was done, take it again."""
        if answer.body is None:
            return "the answer is too large and was not read"
        try:
            body: BotAnswer = validate_json(BODY, answer.body)
            if faults := json_faults(answer.body):
                raise Invalid(faults)
        except InboxError as error:
            return _problem(error)
        if body.empty:
            return None
        event = answer.event
        epoch = _epoch(event)
        if event.conversation_id is None or epoch is None:
            return f"an event of the kind {event.kind} takes no answer"
        try:
            return await self._database.retrying(lambda unit: self._act(unit, answer, body, epoch), attempts=10)
        except Unavailable:
            raise
        except InboxError as error:
            return _problem(error)

    async def _act(self, unit: UnitOfWork, answer: Answer, body: BotAnswer, epoch: int) -> str | None:
        event = answer.event
        assert event.conversation_id is not None
        bot = await bot_rows.find(unit.connection, event.workspace_id, answer.owner_id)
        if bot is None or bot.subscription_id != answer.subscription_id:
            return "only the webhook of a registered bot may answer"
        try:
            thread = await self._conversations.lock(unit, event.workspace_id, event.conversation_id)
        except ConversationUnknown:
            return "the conversation became part of another one"
        if not await rows.mark_answered(unit, event.workspace_id, bot.id, answer.epoch, event.position):
            return None
        run = (await rows.lock_current(unit, event.workspace_id, [thread.id])).get(thread.id)
        if run is None or run.bot_id != bot.id or run.state != "active" or epoch != thread.epoch:
            last = await rows.last_of_bot(unit, event.workspace_id, thread.id, bot.id)
            named = epoch if thread.holder_id == bot.id else None
            return "it is not its turn" if last is None else superseded(last, thread.epoch, named).detail
        await self._send(unit, answer, body, bot, thread, run)
        caller = _principal(bot, answer.subscription_id)
        if body.hand_off is not None:
            await self._handing.hand_off(unit, caller, thread, run, body.hand_off)
        elif body.end is not None:
            await self._handing.end(unit, caller, thread, run, body.end)
        return None

    async def _send(
        self, unit: UnitOfWork, answer: Answer, body: BotAnswer, bot: Bot, thread: Thread, run: Run
    ) -> None:
        event = answer.event
        channel = await self._directory.get(event.workspace_id, thread.channel_id)
        event_id = message_id(answer.subscription_id, answer.epoch, event.position)
        for number, message in enumerate(body.messages):
            token = f"{event_id}:{number}"
            if await message_rows.find_by_token(unit, event.workspace_id, bot.id, token) is not None:
                continue
            order = SendIn(parts=message.parts, reply_to_id=message.reply_to_id, client_token=token)
            await self._sending.queue(
                unit,
                _principal(bot, answer.subscription_id),
                thread,
                channel,
                order,
                origin=OriginView("bot", run.id),
                lease_epoch=thread.epoch,
            )


def _principal(bot: Bot, subscription_id: UUID) -> Principal:
    """The bot, acting through its webhook."""
    return Principal(bot.workspace_id, bot.id, bot.name, "bot", token_id=subscription_id)


def _epoch(event: StoredEvent) -> int | None:
    """The epoch of the lease under which the event was told."""
    try:
        told = _Told.model_validate(orjson.loads(event.payload))
    except ValidationError:
        return None
    return None if told.conversation is None else told.conversation.responder_epoch


def _problem(error: InboxError) -> str:
    faults: tuple[Fault, ...] = error.faults if isinstance(error, Invalid) else ()
    words = "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults[:5]) or error.detail
    return f"the answer was refused: {words}"[:LONGEST_PROBLEM]
