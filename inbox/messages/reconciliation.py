"""Matching what providers say with what we sent, when the two do not meet in the usual order (P4, P5).

A receipt or an echo may come before our own record of the send, or instead of it (a crash, a time-out). The provider's
id and our record meet under an advisory lock on (channel, external id): whoever comes second sees the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from channels.content import TextPart
from channels.inbound import MessageReceived, StatusReported
from channels.types import Fault
from inbox.conversations import repository as thread_rows
from inbox.conversations.repository import Thread
from inbox.kernel.database import Contended, UnitOfWork
from inbox.messages import events
from inbox.messages.repository import find, find_external, remove_native
from inbox.messages.statuses import RANK, StatusChange, advance, refresh_messages, stored_fault

ECHO_INFERENCE = timedelta(minutes=10)
"""An echo without correlation is taken for a send of the same words that is at most this much older."""

DISPROVED = Fault(
    "outcome_unknown",
    "It is not known whether this message arrived: what was taken for its echo belongs to another message. "
    "Ask the customer, or send it again if a double does no harm.",
)


async def claim_or_park(
    unit: UnitOfWork, workspace_id: UUID, receipts: Sequence[tuple[UUID, StatusReported]]
) -> list[StatusChange]:
    """Receipts whose external id nobody knows: find the delivery by the correlation we sent along, or park them.

    Returns what they say about the deliveries that were found. Raises ``Contended`` when the id was recorded just now.
    """
    ids = sorted({(channel_id, receipt.external_id) for channel_id, receipt in receipts})
    for channel_id, external_id in ids:
        await lock_external_id(unit, channel_id, external_id)
    if await find_external(unit, workspace_id, ids):
        raise Contended("the external id was recorded meanwhile")
    changes, parked = [], []
    claimed: dict[tuple[UUID, str], UUID | None] = {}
    for channel_id, receipt in receipts:
        key = (channel_id, receipt.external_id)
        if key not in claimed:
            claimed[key] = await _claim(unit, workspace_id, channel_id, receipt)
        delivery_id = claimed[key]
        if delivery_id is None:
            parked.append((channel_id, receipt))
        else:
            changes.append(StatusChange(delivery_id, receipt.status, receipt.occurred_at, receipt.fault))
    await _park(unit, workspace_id, parked)
    return changes


async def recognise_echo(unit: UnitOfWork, workspace_id: UUID, thread: Thread, echo: MessageReceived) -> bool:
    """Whether this echo is of a delivery of ours whose external id is not recorded yet; then it is recorded.

    By the correlation where the provider gives it back; otherwise by the same words to the same person within a short
    time, first of all what is in the air: an inference, and marked so on the delivery. The caller holds the
    conversation's lock, and looked for the id before it had it. Raises ``Contended`` when the id was recorded in
    between.
    """
    assert echo.echo is not None
    if await find_external(unit, workspace_id, [(thread.channel_id, echo.external_id)]):
        raise Contended("the send of this echo was recorded meanwhile")
    correlation = delivery_of(echo.echo.correlation)
    if correlation is not None:
        delivery_id = await unit.fetchval(
            f"""SELECT id FROM deliveries WHERE workspace_id = $1 AND id = $2 AND conversation_id = $3
                AND (external_id IS NULL OR external_id = $4) {IN_THE_AIR} FOR UPDATE""",
            workspace_id,
            correlation,
            thread.id,
            echo.external_id,
        )
        inferred = False
    else:
        words = next((part.text for part in echo.parts if isinstance(part, TextPart)), None)
        delivery_id = await unit.fetchval(
            f"""SELECT id FROM deliveries WHERE workspace_id = $1 AND conversation_id = $2 AND external_id IS NULL
                AND piece->>'text' IS NOT DISTINCT FROM $3 AND sending_since > $4 {IN_THE_AIR}
                ORDER BY state = 'sending' DESC, id LIMIT 1 FOR UPDATE""",
            workspace_id,
            thread.id,
            words,
            echo.occurred_at - ECHO_INFERENCE,
        )
        inferred = True
    if delivery_id is None:
        return False
    await record_external_id(unit, workspace_id, delivery_id, echo.external_id, inferred=inferred)
    await _link_quotes(unit, workspace_id, thread.channel_id, echo.external_id, delivery_id)
    concerned = await advance(unit, workspace_id, [StatusChange(delivery_id, "sent", echo.occurred_at)])
    await refresh_messages(unit, workspace_id, concerned)
    return True


async def settle_accepted(
    unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, delivery_id: UUID, external_id: str | None
) -> list[StatusChange]:
    """Record the id that the provider answered with. Returns what parked receipts already say about it.

    The caller holds the conversation's lock. A message that an echo had made meanwhile is taken back: it is this one.
    Another delivery that was inferred to have this id was not the one, and fails: nobody knows whether it arrived.
    """
    if external_id is None:
        return []
    await lock_external_id(unit, channel_id, external_id)
    await _disprove(unit, workspace_id, channel_id, delivery_id, external_id)
    await record_external_id(unit, workspace_id, delivery_id, external_id, inferred=False)
    duplicate = await remove_native(unit, workspace_id, channel_id, external_id)
    if duplicate is not None:
        unit.record(events.removed(workspace_id, *duplicate))
    parked = await unit.fetch(
        f"""
        WITH gone AS (
            DELETE FROM parked_receipts WHERE workspace_id = $1 AND channel_id = $2 AND external_id = $3
            RETURNING status, occurred_at, fault
        ), linked AS ({LINK_QUOTES})
        SELECT status, occurred_at, fault, NULL::uuid FROM gone
        UNION ALL SELECT NULL, NULL, NULL, id FROM linked
        """,
        workspace_id,
        channel_id,
        external_id,
        delivery_id,
    )
    await _tell_linked(unit, workspace_id, [row[3] for row in parked if row[3] is not None])
    parked = [row for row in parked if row[3] is None]
    changes = []
    for row in sorted(parked, key=lambda row: RANK[row["status"]]):
        fault = None if row["fault"] is None else Fault(**row["fault"])
        changes.append(StatusChange(delivery_id, row["status"], row["occurred_at"], fault))
    return changes


async def record_external_id(
    unit: UnitOfWork, workspace_id: UUID, delivery_id: UUID, external_id: str, *, inferred: bool
) -> None:
    """An id of the provider's own answer or correlation replaces one that was only inferred."""
    await unit.execute(
        """UPDATE deliveries SET external_id = $3, inferred = $4 WHERE workspace_id = $1 AND id = $2
           AND (external_id IS NULL OR (inferred AND NOT $4))""",
        workspace_id,
        delivery_id,
        external_id,
        inferred,
    )


async def _disprove(
    unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, delivery_id: UUID, external_id: str
) -> None:
    """Forwards on the line of statuses, since `sent` was told already; a receipt of its own still corrects it."""
    row = await unit.fetchrow(
        """UPDATE deliveries SET external_id = NULL, inferred = false WHERE workspace_id = $1 AND channel_id = $2
           AND external_id = $3 AND inferred AND id <> $4 RETURNING id, clock_timestamp()""",
        workspace_id,
        channel_id,
        external_id,
        delivery_id,
    )
    if row is not None:
        concerned = await advance(unit, workspace_id, [StatusChange(row[0], "failed", row[1], DISPROVED)])
        await refresh_messages(unit, workspace_id, concerned)


async def lock_external_id(unit: UnitOfWork, channel_id: UUID, external_id: str) -> None:
    """Until the end of the transaction. Taken after the conversation's lock, in sorted order."""
    await unit.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{channel_id}:{external_id}")


IN_THE_AIR = "AND state IN ('sending', 'uncertain')"


async def _claim(unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, receipt: StatusReported) -> UUID | None:
    correlation = delivery_of(receipt.correlation)
    if correlation is None:
        return None
    found: UUID | None = await unit.fetchval(
        f"""UPDATE deliveries SET external_id = $4 WHERE workspace_id = $1 AND id = $2 AND channel_id = $3
            AND external_id IS NULL {IN_THE_AIR} RETURNING id""",
        workspace_id,
        correlation,
        channel_id,
        receipt.external_id,
    )
    if found is not None:
        await _link_quotes(unit, workspace_id, channel_id, receipt.external_id, found)
    return found


LINK_QUOTES = """
UPDATE messages m SET reply_to_id = d.message_id FROM deliveries d
WHERE d.workspace_id = $1 AND d.id = $4 AND m.workspace_id = $1 AND m.channel_id = $2
  AND m.reply_to_external_id = $3 AND m.reply_to_id IS NULL AND m.conversation_id = d.conversation_id
RETURNING m.id
"""
"""Messages that quote what this delivery is now known to be, from before that was known."""


async def _link_quotes(
    unit: UnitOfWork, workspace_id: UUID, channel_id: UUID, external_id: str, delivery_id: UUID
) -> None:
    found = await unit.fetch(LINK_QUOTES, workspace_id, channel_id, external_id, delivery_id)
    await _tell_linked(unit, workspace_id, [row[0] for row in found])


async def _tell_linked(unit: UnitOfWork, workspace_id: UUID, message_ids: Sequence[UUID]) -> None:
    for message_id in sorted(message_ids):
        message = await find(unit, workspace_id, message_id)
        if message is not None:
            holder_id = await thread_rows.find_holder(unit, workspace_id, message.conversation_id)
            unit.record(events.updated(workspace_id, message, holder_id))


async def _park(unit: UnitOfWork, workspace_id: UUID, receipts: Sequence[tuple[UUID, StatusReported]]) -> None:
    if not receipts:
        return
    await unit.execute(
        """
        INSERT INTO parked_receipts (workspace_id, channel_id, external_id, status, occurred_at, fault)
        SELECT DISTINCT ON (channel_id, external_id, status) $1::uuid, channel_id, external_id, status, at, fault
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::jsonb[])
             AS r (channel_id, external_id, status, at, fault)
        ON CONFLICT DO NOTHING
        """,
        workspace_id,
        [channel_id for channel_id, _ in receipts],
        [receipt.external_id for _, receipt in receipts],
        [receipt.status for _, receipt in receipts],
        [receipt.occurred_at for _, receipt in receipts],
        [None if receipt.fault is None else stored_fault(receipt.fault) for _, receipt in receipts],
    )


def delivery_of(text: str | None) -> UUID | None:
    """The delivery that a correlation names; ``None`` for what is none of ours."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None
