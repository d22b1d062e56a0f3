"""Entries of the delivery log, from what came of a request."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from inbox.kernel.eventlog import StoredEvent
from inbox.kernel.ids import new_id
from inbox.subscriptions.leases import AttemptRow
from inbox.subscriptions.posting import Exchange
from inbox.subscriptions.schemas import Outcome, Purpose
from inbox.subscriptions.signing import message_id


def of_event(
    subscription_id: UUID,
    epoch: UUID,
    event: StoredEvent,
    purpose: Purpose,
    attempt: int,
    outcome: Outcome,
    exchange: Exchange,
    *,
    next_at: datetime | None = None,
    problem: str | None = None,
) -> AttemptRow:
    """``epoch`` is the log's. ``problem``: what was wrong with an answer that has arrived."""
    return AttemptRow(
        workspace_id=event.workspace_id,
        subscription_id=subscription_id,
        id=new_id(),
        attempted_at=exchange.at,
        purpose=purpose,
        message_id=message_id(subscription_id, epoch, event.position),
        position=event.position,
        kind=event.kind,
        conversation_id=event.conversation_id,
        attempt=attempt,
        outcome=outcome,
        status=exchange.status,
        error=exchange.error or problem,
        milliseconds=exchange.milliseconds,
        bytes=exchange.bytes,
        answer=exchange.answer,
        next_at=next_at,
    )


def of_ping(
    workspace_id: UUID, subscription_id: UUID, attempt_id: UUID, message_id: str, exchange: Exchange
) -> AttemptRow:
    return AttemptRow(
        workspace_id=workspace_id,
        subscription_id=subscription_id,
        id=attempt_id,
        attempted_at=exchange.at,
        purpose="ping",
        message_id=message_id,
        position=None,
        kind="ping",
        conversation_id=None,
        attempt=1,
        outcome="delivered" if exchange.delivered else "failed",
        status=exchange.status,
        error=exchange.error,
        milliseconds=exchange.milliseconds,
        bytes=exchange.bytes,
        answer=exchange.answer,
        next_at=None,
    )
