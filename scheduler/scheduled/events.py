"""What the log says about scheduled messages. Each event carries the whole of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from inbox.kernel.eventlog import Event
from scheduler.scheduled.schemas import ScheduledView


@dataclass(frozen=True, slots=True)
class ScheduledMessageCreated:
    scheduled_message: ScheduledView


@dataclass(frozen=True, slots=True)
class ScheduledMessageUpdated:
    """Edited, moved, held, sent, cancelled, …: ``state`` and ``reason`` say how it stands."""

    scheduled_message: ScheduledView


EVENTS: dict[str, type] = {
    "scheduled_message.created": ScheduledMessageCreated,
    "scheduled_message.updated": ScheduledMessageUpdated,
}


def created(workspace_id: UUID, view: ScheduledView) -> Event:
    data = ScheduledMessageCreated(view)
    return Event.of(workspace_id, "scheduled_message.created", data, view.conversation_id)


def updated(workspace_id: UUID, view: ScheduledView) -> Event:
    data = ScheduledMessageUpdated(view)
    return Event.of(workspace_id, "scheduled_message.updated", data, view.conversation_id)
