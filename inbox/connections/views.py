"""A channel as clients see it."""

from __future__ import annotations

from datetime import datetime

from inbox.connections.repository import ChannelRow
from inbox.connections.schemas import ChannelView, HealthReason


def view(row: ChannelRow) -> ChannelView:
    return ChannelView(
        id=row.id,
        kind=row.kind,
        provider_app_id=row.app_id,
        account_id=row.account_id,
        name=row.name,
        state=row.state,  # type: ignore[arg-type]  # the CHECK of the column
        health=row.health,  # type: ignore[arg-type]  # the CHECK of the column
        health_reason=row.health_reason,
        health_reasons=[
            HealthReason(aspect, entry["health"], entry["reason"], datetime.fromisoformat(entry["since"]))
            for aspect, entry in sorted(row.health_aspects.items())
            if entry["health"] != "ok"
        ],
        sending_paused_until=row.sending_paused_until,
        sending_paused_reason=row.sending_paused_reason,
        token_expires_at=row.token_expires_at,
        options=row.options,
        api_base=row.api_base,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
