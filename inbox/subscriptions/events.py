"""What the log says about subscriptions, for supervisors and admins. No event holds an address or a secret."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import UUID

from inbox.kernel.eventlog import SUPERVISORS, Event
from inbox.subscriptions.schemas import SubscriptionView


@dataclass(frozen=True, slots=True)
class SubscriptionAdded:
    subscription: SubscriptionView


@dataclass(frozen=True, slots=True)
class SubscriptionUpdated:
    """Renamed, pointed elsewhere, filtered, given a new secret, or enabled."""

    subscription: SubscriptionView


@dataclass(frozen=True, slots=True)
class SubscriptionDisabled:
    """By a person or by itself; ``subscription.reason`` says which. Nothing is sent until it is enabled."""

    subscription: SubscriptionView


@dataclass(frozen=True, slots=True)
class SubscriptionDeleted:
    subscription_id: UUID


ResetReason = Literal["log_rebuilt", "beyond_retention"]


@dataclass(frozen=True, slots=True)
class SubscriptionReset:
    """It could not go on where it was, and goes on behind ``position``: its receiver has missed events.

    The receiver is told by this very event, whatever its filter.
    """

    subscription: SubscriptionView
    reason: ResetReason
    position: int


RESET: Final = "subscription.reset"

EVENTS: dict[str, type] = {
    "subscription.created": SubscriptionAdded,
    "subscription.updated": SubscriptionUpdated,
    "subscription.disabled": SubscriptionDisabled,
    "subscription.deleted": SubscriptionDeleted,
    RESET: SubscriptionReset,
}


def created(workspace_id: UUID, subscription: SubscriptionView) -> Event:
    return _event(workspace_id, "subscription.created", SubscriptionAdded(_public(subscription)))


def updated(workspace_id: UUID, subscription: SubscriptionView) -> Event:
    return _event(workspace_id, "subscription.updated", SubscriptionUpdated(_public(subscription)))


def disabled(workspace_id: UUID, subscription: SubscriptionView) -> Event:
    return _event(workspace_id, "subscription.disabled", SubscriptionDisabled(_public(subscription)))


def deleted(workspace_id: UUID, subscription_id: UUID) -> Event:
    return _event(workspace_id, "subscription.deleted", SubscriptionDeleted(subscription_id))


def reset(workspace_id: UUID, subscription: SubscriptionView, reason: ResetReason) -> Event:
    return _event(workspace_id, RESET, SubscriptionReset(_public(subscription), reason, subscription.position))


def _public(subscription: SubscriptionView) -> SubscriptionView:
    return replace(subscription, url=None)


def _event(workspace_id: UUID, kind: str, data: object) -> Event:
    return Event.of(workspace_id, kind, data, audience=SUPERVISORS)
