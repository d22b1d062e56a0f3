"""What the log says about contacts. Each event carries the whole contact, so that a client needs no further request."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from contacts.schemas import ContactView, HappenedView, ProviderBlockView, ReachView
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
class ContactBlocked:
    """Nothing goes out to them from here on; also when why or until when has changed, or a merge made them so."""

    contact: ContactView


@dataclass(frozen=True, slots=True)
class ContactUnblocked:
    """``expired``: the time had come. What the block paused stays paused until somebody decides about it."""

    contact: ContactView
    expired: bool


@dataclass(frozen=True, slots=True)
class ContactBlockAtProvider:
    """How the provider took that it should keep this person from writing to us, or let them again."""

    block: ProviderBlockView


@dataclass(frozen=True, slots=True)
class ContactReachability:
    """At one provider the person became unreachable or reachable, stopped or resumed marketing."""

    reach: ReachView


@dataclass(frozen=True, slots=True)
class ContactHappened:
    """They did something outside of the inbox, as whoever knows of it told us."""

    happened: HappenedView


EVENTS: dict[str, type] = {
    "contact.created": ContactCreated,
    "contact.updated": ContactUpdated,
    "contact.merged": ContactMerged,
    "contact.blocked": ContactBlocked,
    "contact.unblocked": ContactUnblocked,
    "contact.block_at_provider": ContactBlockAtProvider,
    "contact.reachability": ContactReachability,
    "contact.event": ContactHappened,
}


def created(workspace_id: UUID, contact: ContactView) -> Event:
    return Event.of(workspace_id, "contact.created", ContactCreated(contact))


def updated(workspace_id: UUID, contact: ContactView) -> Event:
    return Event.of(workspace_id, "contact.updated", ContactUpdated(contact))


def merged(workspace_id: UUID, contact: ContactView, other: UUID) -> Event:
    return Event.of(workspace_id, "contact.merged", ContactMerged(contact, other))


def blocked(workspace_id: UUID, contact: ContactView) -> Event:
    return Event.of(workspace_id, "contact.blocked", ContactBlocked(contact))


def unblocked(workspace_id: UUID, contact: ContactView, *, expired: bool) -> Event:
    return Event.of(workspace_id, "contact.unblocked", ContactUnblocked(contact, expired))


def block_at_provider(workspace_id: UUID, block: ProviderBlockView) -> Event:
    return Event.of(workspace_id, "contact.block_at_provider", ContactBlockAtProvider(block))


def reachability(workspace_id: UUID, reach: ReachView) -> Event:
    return Event.of(workspace_id, "contact.reachability", ContactReachability(reach))


def happened(workspace_id: UUID, what: HappenedView) -> Event:
    return Event.of(workspace_id, "contact.event", ContactHappened(what))
