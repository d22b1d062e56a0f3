"""What the log says about templates. Each event carries the whole template."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from inbox.kernel.eventlog import Event
from inbox.templates.schemas import TemplateView


@dataclass(frozen=True, slots=True)
class TemplateCreated:
    """The provider lists it for the first time, or again."""

    template: TemplateView


@dataclass(frozen=True, slots=True)
class TemplateUpdated:
    """Judged, paused, re-categorised, or its definition changed."""

    template: TemplateView


@dataclass(frozen=True, slots=True)
class TemplateRemoved:
    """The provider lists it no more: it cannot be sent."""

    template: TemplateView


EVENTS: dict[str, type] = {
    "template.created": TemplateCreated,
    "template.updated": TemplateUpdated,
    "template.removed": TemplateRemoved,
}


def created(workspace_id: UUID, template: TemplateView) -> Event:
    return Event.of(workspace_id, "template.created", TemplateCreated(template))


def updated(workspace_id: UUID, template: TemplateView) -> Event:
    return Event.of(workspace_id, "template.updated", TemplateUpdated(template))


def removed(workspace_id: UUID, template: TemplateView) -> Event:
    return Event.of(workspace_id, "template.removed", TemplateRemoved(template))
