"""What the log says about bots and their runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from inbox.conversations.schemas import ConversationView
from inbox.kernel.eventlog import Event
from scheduler.workflows.schemas import BotView, RunView


@dataclass(frozen=True, slots=True)
class BotAdded:
    bot: BotView


@dataclass(frozen=True, slots=True)
class BotUpdated:
    bot: BotView


@dataclass(frozen=True, slots=True)
class BotDeleted:
    bot_id: UUID


@dataclass(frozen=True, slots=True)
class WorkflowCreated:
    """A bot was given the conversation, or took it. ``conversation`` is how it stands with that."""

    run: RunView
    conversation: ConversationView


@dataclass(frozen=True, slots=True)
class WorkflowUpdated:
    """Paused, resumed, handed off or back, ended, or given a new lease: ``run`` says which."""

    run: RunView
    conversation: ConversationView


EVENTS: dict[str, type] = {
    "bot.created": BotAdded,
    "bot.updated": BotUpdated,
    "bot.deleted": BotDeleted,
    "workflow.created": WorkflowCreated,
    "workflow.updated": WorkflowUpdated,
}


def bot_created(workspace_id: UUID, bot: BotView) -> Event:
    return Event.of(workspace_id, "bot.created", BotAdded(replace(bot, url=None)))


def bot_updated(workspace_id: UUID, bot: BotView) -> Event:
    return Event.of(workspace_id, "bot.updated", BotUpdated(replace(bot, url=None)))


def bot_deleted(workspace_id: UUID, bot_id: UUID) -> Event:
    return Event.of(workspace_id, "bot.deleted", BotDeleted(bot_id))


def created(workspace_id: UUID, run: RunView, conversation: ConversationView) -> Event:
    return _event(workspace_id, "workflow.created", WorkflowCreated(run, conversation), run)


def updated(workspace_id: UUID, run: RunView, conversation: ConversationView) -> Event:
    return _event(workspace_id, "workflow.updated", WorkflowUpdated(run, conversation), run)


def _event(workspace_id: UUID, kind: str, data: object, run: RunView) -> Event:
    """For the bot of the run, too, whoever answers by then."""
    return Event.of(workspace_id, kind, data, run.conversation_id, holder_id=run.bot_id)
