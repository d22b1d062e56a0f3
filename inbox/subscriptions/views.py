"""From rows to what clients see."""

from __future__ import annotations

from inbox.subscriptions.repository import SubscriptionRow
from inbox.subscriptions.schemas import SubscriptionView


def view(row: SubscriptionRow, url: str | None = None) -> SubscriptionView:
    return SubscriptionView(
        id=row.id,
        agent_id=row.agent_id,
        name=row.name,
        url=url,
        origin=row.origin,
        kinds=row.kinds,
        state=row.state,
        reason=row.reason,
        failures=row.failures,
        failing_since=row.failing_since,
        epoch=row.epoch,
        position=row.cursor,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
