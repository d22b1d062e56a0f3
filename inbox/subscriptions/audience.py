"""Which events a subscription gets: those that its owner may see (P10), of the kinds it asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.kernel.eventlog import StoredEvent
from inbox.subscriptions.events import RESET
from inbox.subscriptions.repository import SubscriptionRow


def principal_of(row: SubscriptionRow) -> Principal:
    """The owner, acting through the subscription."""
    return Principal(row.workspace_id, row.agent_id, row.agent_name, row.role, token_id=row.id)


class Audience:
    """Called with an event, says whether it is for this subscription. Remembers the answer for each kind."""

    def __init__(self, subscription_id: UUID, owner: Principal, kinds: Sequence[str] | None) -> None:
        self._own_id = str(subscription_id)
        self._owner = owner
        self._kinds = None if kinds is None else frozenset(kinds)
        self._seen: dict[str, bool] = {}

    def __call__(self, event: StoredEvent) -> bool:
        if event.kind == RESET and self._own_id in event.payload:
            return True
        return self._owner.sees(event.audience, event.holder_id) and (
            self._kinds is None or self._of_kind(event.kind, self._kinds)
        )

    def _of_kind(self, kind: str, kinds: frozenset[str]) -> bool:
        known = self._seen.get(kind)
        if known is None:
            known = self._seen[kind] = matches(kind, kinds)
        return known


def matches(kind: str, kinds: Collection[str]) -> bool:
    return kind in kinds or f"{kind.partition('.')[0]}.*" in kinds
