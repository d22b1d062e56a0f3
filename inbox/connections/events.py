"""What the log says about channels. Each event carries the whole channel, so that a client needs no further request."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from inbox.connections.schemas import ChannelView
from inbox.kernel.eventlog import Event


@dataclass(frozen=True, slots=True)
class ChannelCreated:
    channel: ChannelView


@dataclass(frozen=True, slots=True)
class ChannelUpdated:
    """Renamed, enabled, disabled, or its health changed."""

    channel: ChannelView


@dataclass(frozen=True, slots=True)
class ChannelDeleted:
    """It had no conversations."""

    channel_id: UUID


EVENTS: dict[str, type] = {
    "channel.created": ChannelCreated,
    "channel.updated": ChannelUpdated,
    "channel.deleted": ChannelDeleted,
}


def created(workspace_id: UUID, channel: ChannelView) -> Event:
    return Event.of(workspace_id, "channel.created", ChannelCreated(channel))


def updated(workspace_id: UUID, channel: ChannelView) -> Event:
    return Event.of(workspace_id, "channel.updated", ChannelUpdated(channel))


def deleted(workspace_id: UUID, channel_id: UUID) -> Event:
    return Event.of(workspace_id, "channel.deleted", ChannelDeleted(channel_id))
