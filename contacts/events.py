"""What the log says about contacts. Each event carries the whole contact, so that a client needs no further request."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from contacts.schemas import ContactView, ReachView
from inbox.kernel.eventlog import Event


@dataclass(frozen=True, slots=True)
class ContactCreated:
    contact: ContactView


@dataclass(frozen=True, slots=True)
class ContactUpdated:
    contact: ContactView


@dataclass(frozen=True, slots=True)
class ContactMerged:
    """``merged`` was found to be the same person as ``contact`` and leads there from now on."""

    contact: ContactView
    merged: UUID


@dataclass(frozen=True, slots=True)
class ContactReachability:
    """At one provider the person became unreachable or reachable, stopped or resumed marketing."""

    reach: ReachView


EVENTS: dict[str, type] = {
    "contact.created": ContactCreated,
    "contact.updated": ContactUpdated,
    "contact.merged": ContactMerged,
    "contact.reachability": ContactReachability,
}


def created(workspace_id: UUID, contact: ContactView) -> Event:
    return Event.of(workspace_id, "contact.created", ContactCreated(contact))


def updated(workspace_id: UUID, contact: ContactView) -> Event:
    return Event.of(workspace_id, "contact.updated", ContactUpdated(contact))


def merged(workspace_id: UUID, contact: ContactView, other: UUID) -> Event:
    return Event.of(workspace_id, "contact.merged", ContactMerged(contact, other))


def reachability(workspace_id: UUID, reach: ReachView) -> Event:
    return Event.of(workspace_id, "contact.reachability", ContactReachability(reach))
