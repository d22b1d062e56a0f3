"""The order of statuses, and their writing. A status never moves backwards, whatever order receipts come in (P4).

The statuses form one line, and every change is a maximum on it, so the order of receipts cannot matter. ``failed``
stands below ``delivered``: a failure never takes back a delivery, and a delivery corrects a failure.
Everything here runs under the row lock of the conversation; docs/delivery.md argues why that suffices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from channels.types import Fault
from inbox.kernel.database import UnitOfWork
from inbox.messages import events
from inbox.messages.events import MessageStatusChanged
from inbox.messages.repository import fault_view, origin_view

LINE = ("queued", "cancelled", "sending", "uncertain", "sent", "failed", "delivered", "read", "played")
ARRIVED = ("delivered", "read", "played")
RANK = {status: rank for rank, status in enumerate(LINE, 1)}
LINE_SQL = "ARRAY[" + ", ".join(f"'{status}'" for status in LINE) + "]"


@dataclass(frozen=True, slots=True)
class StatusChange:
    delivery_id: UUID
    status: str
    at: datetime
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Advanced:
    """A delivery that a change has really moved. ``began_at``: when its newest try left us."""

    change: StatusChange
    message_id: UUID
    conversation_id: UUID
    began_at: datetime | None


async def advance(unit: UnitOfWork, workspace_id: UUID, changes: Sequence[StatusChange]) -> list[UUID]:
    """Raise deliveries to these statuses where that is forward. Returns the ids of the messages concerned."""
    return sorted({one.message_id for one in await advance_each(unit, workspace_id, changes)})


async def advance_each(unit: UnitOfWork, workspace_id: UUID, changes: Sequence[StatusChange]) -> list[Advanced]:
    """The same, and tells which."""
    highest: dict[UUID, StatusChange] = {}
    for change in changes:
        known = highest.get(change.delivery_id)
        if known is None or RANK[change.status] > RANK[known.status]:
            highest[change.delivery_id] = change
    if not highest:
        return []
    final = sorted(highest.values(), key=lambda change: change.delivery_id)
    found = await unit.fetch(
        f"""
        UPDATE deliveries d SET state = n.status, status_at = n.at, fault = n.fault,
            sent_at = CASE WHEN n.status IN ('sent', 'delivered', 'read', 'played') THEN coalesce(d.sent_at, n.at)
                           ELSE d.sent_at END
        FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::jsonb[]) AS n (id, status, at, fault)
        WHERE d.workspace_id = $1 AND d.id = n.id
          AND array_position({LINE_SQL}, d.state) < array_position({LINE_SQL}, n.status)
        RETURNING d.id, d.message_id, d.conversation_id, d.sending_since
        """,
        workspace_id,
        [change.delivery_id for change in final],
        [change.status for change in final],
        [change.at for change in final],
        [None if change.fault is None else stored_fault(change.fault) for change in final],
    )
    return [Advanced(highest[row[0]], *tuple(row)[1:]) for row in found]


async def advance_up_to(
    unit: UnitOfWork, workspace_id: UUID, conversation_id: UUID, status: str, watermark: datetime, at: datetime
) -> list[UUID]:
    """A watermark receipt: everything that the provider accepted and that left at or before ``watermark``."""
    found = await unit.fetch(
        f"""
        UPDATE deliveries d SET state = $4, status_at = $5, fault = NULL, sent_at = coalesce(d.sent_at, $5)
        WHERE d.workspace_id = $1 AND d.conversation_id = $2 AND d.sending_since <= $3
          AND d.state IN ('sent', 'delivered')
          AND array_position({LINE_SQL}, d.state) < array_position({LINE_SQL}, $4)
        RETURNING d.message_id
        """,
        workspace_id,
        conversation_id,
        watermark,
        status,
        at,
    )
    return sorted({row[0] for row in found})


async def refresh_messages(unit: UnitOfWork, workspace_id: UUID, message_ids: Sequence[UUID]) -> None:
    """Let messages say what their deliveries say, and record the events of those that changed.

    A message of several pieces has failed when one failed, is uncertain when one is, has failed when one was taken back
    or skipped although another went out, and else is as far as its last.
    """
    if not message_ids:
        return
    found = await unit.fetch(
        f"""
        UPDATE messages m SET status = s.status, status_at = s.at, fault = s.fault
        FROM (
            SELECT message_id,
                CASE WHEN bool_or(state = 'failed') THEN 'failed'
                     WHEN bool_or(state = 'uncertain') THEN 'uncertain'
                     WHEN bool_or(state = 'cancelled') AND bool_or(sent_at IS NOT NULL) THEN 'failed'
                     ELSE ({LINE_SQL})[min(array_position({LINE_SQL}, state))] END AS status,
                max(status_at) AS at,
                (array_agg(fault ORDER BY ordinal) FILTER (WHERE fault IS NOT NULL))[1] AS fault
            FROM deliveries WHERE workspace_id = $1 AND message_id = ANY($2) GROUP BY message_id
        ) s
        WHERE m.workspace_id = $1 AND m.id = s.message_id
          AND (m.status, m.fault) IS DISTINCT FROM (s.status, s.fault)
        RETURNING m.id, m.conversation_id, m.status, m.status_at, m.fault, m.origin_kind, m.origin_id,
            CASE WHEN m.author_kind = 'bot' THEN m.author_id END
        """,
        workspace_id,
        list(message_ids),
    )
    for row in sorted(found, key=lambda row: row[0]):
        origin = origin_view(row[5], row[6])
        change = MessageStatusChanged(row[0], row[1], row[2], row[3], fault_view(row[4]), origin)
        unit.record(events.status_changed(workspace_id, change, row[7]))


def stored_fault(fault: Fault) -> dict[str, object]:
    return {key: value for key, value in asdict(fault).items() if value not in (None, False)}
