"""How what blocked contacts send looks to those who may read it, and what the log says of it to them alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from inbox.kernel.eventlog import SUPERVISORS, Event
from inbox.messages.schemas import StoredPart


@dataclass(frozen=True, slots=True)
class SetAsideView:
    """``kind`` other than `message`: a later word ``about`` a message of the thread or one that was set aside.

    Of a reaction the part holds the ``emoji``, null where it was taken back.
    """

    id: UUID
    contact_id: UUID
    channel_id: UUID
    kind: Literal["message", "edit", "reaction"]
    about: UUID | None
    author_name: str | None
    parts: list[StoredPart]
    occurred_at: datetime
    created_at: datetime
    edited_at: datetime | None
    unsent_at: datetime | None


@dataclass(frozen=True, slots=True)
class SetAsideCreated:
    """A blocked contact wrote, edited or reacted. Nobody else is told, and no thread shows it."""

    set_aside: SetAsideView


@dataclass(frozen=True, slots=True)
class SetAsideUpdated:
    """They edited or unsent what was set aside, or a file of it was fetched."""

    set_aside: SetAsideView


EVENTS: dict[str, type] = {"set_aside.created": SetAsideCreated, "set_aside.updated": SetAsideUpdated}


def created(workspace_id: UUID, view: SetAsideView) -> Event:
    return Event.of(workspace_id, "set_aside.created", SetAsideCreated(view), audience=SUPERVISORS)


def updated(workspace_id: UUID, view: SetAsideView) -> Event:
    return Event.of(workspace_id, "set_aside.updated", SetAsideUpdated(view), audience=SUPERVISORS)
