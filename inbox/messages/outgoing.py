"""Inserting outgoing messages and their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from channels.outbound import Piece
from inbox.agents.principal import Principal
from inbox.conversations.repository import Thread
from inbox.kernel.database import Contended, UnitOfWork
from inbox.kernel.hours import Quiet
from inbox.messages.repository import COLUMNS, view
from inbox.messages.schemas import MessageView, OriginKind, OriginView

PLANNED_PRIORITY: Final = 1
"""What had been ordered for a time that has come. A crowd of it goes behind what people write at this moment."""
PLANNED: Final = frozenset[OriginKind]({"scheduled", "sequence", "broadcast"})
BULK_PRIORITY: Final = 2
"""Deliveries of this priority or a higher number are bulk: they go behind all others, and not to who stopped marketing.
"""


@dataclass(frozen=True, slots=True)
class Author:
    """In whose name a message goes out. What was ordered earlier is sent as its author although nobody is calling."""

    workspace_id: UUID
    kind: Literal["agent", "bot", "system"]
    id: UUID | None
    name: str | None

    @classmethod
    def of(cls, caller: Principal) -> Author:
        kind: Literal["agent", "bot"] = "bot" if caller.role == "bot" else "agent"
        return cls(caller.workspace_id, kind, caller.agent_id, caller.name)


@dataclass(frozen=True, slots=True)
class SendConditions:
    """What has to hold still when a delivery is claimed, not only when it is queued; the gate asks it again (P8).

    ``hold_after_number``: not once the customer has written a message of a higher number. ``stop_when_closed``: not
    once the conversation is closed. ``quiet``: not before this time is over. ``expires_at``: not later than that; 24
    hours unless said otherwise. ``bulk``: behind replies, and as marketing.
    """

    hold_after_number: int | None = None
    stop_when_closed: bool = False
    quiet: Quiet | None = None
    expires_at: datetime | None = None
    bulk: bool = False


UNCONDITIONAL: Final = SendConditions()


@dataclass(frozen=True, slots=True)
class NewDelivery:
    id: UUID
    message_id: UUID
    ordinal: int
    piece: Piece


async def insert_outgoing(
    unit: UnitOfWork,
    workspace_id: UUID,
    message_id: UUID,
    thread: Thread,
    *,
    number: int,
    author: Author,
    parts: bytes,
    reply_to: tuple[UUID, str] | None,
    client_token: str | None,
    fingerprint: bytes | None,
    origin: OriginView | None,
    at: datetime,
) -> MessageView:
    """``reply_to``: (message, external id). The caller holds the conversation's lock.

    Raises ``Contended`` when the author just used the token in another conversation, which is not locked here.
    """
    row = await unit.fetchrow(
        f"""
        INSERT INTO messages AS m (workspace_id, id, conversation_id, channel_id, number, direction, author_kind,
            author_id, author_name, parts, status, status_at, reply_to_id, reply_to_external_id, client_token,
            fingerprint, origin_kind, origin_id, occurred_at, created_at)
        VALUES ($1, $2, $3, $4, $5, 'out', $6, $7, $8, $9, 'queued', $10, $11, $12, $13, $14, $15, $16, $10, $10)
        ON CONFLICT (workspace_id, author_id, client_token) WHERE client_token IS NOT NULL DO NOTHING
        RETURNING {COLUMNS}
        """,
        workspace_id,
        message_id,
        thread.id,
        thread.channel_id,
        number,
        author.kind,
        author.id,
        author.name,
        parts,
        at,
        None if reply_to is None else reply_to[0],
        None if reply_to is None else reply_to[1],
        client_token,
        fingerprint,
        None if origin is None else origin.kind,
        None if origin is None else origin.id,
    )
    if row is None:
        raise Contended("the client token was used in the same moment")
    return view(row)


async def insert_deliveries(
    unit: UnitOfWork,
    workspace_id: UUID,
    thread: Thread,
    deliveries: Sequence[NewDelivery],
    *,
    purpose: str,
    lease_epoch: int | None,
    conditions: SendConditions,
    planned: bool,
    at: datetime,
) -> None:
    """``planned``: nobody waits for it now. Within a conversation all go in turn, so what is planned and stands before
    something urgent becomes as urgent. ``lease_epoch``: of the responder who wrote it; the gate refuses it when
    somebody took over (P9).

    They are due at once by the database's clock, which is what claims compare with, however wrong this node's is.
    """
    await unit.execute(
        f"""
        WITH hurried AS (
            UPDATE deliveries SET priority = $14 WHERE workspace_id = $1 AND conversation_id = $2 AND state = 'queued'
                AND priority = {PLANNED_PRIORITY} AND priority > $14
        )
        INSERT INTO deliveries (workspace_id, id, message_id, conversation_id, channel_id, ordinal, piece, purpose,
            epoch, hold_after_number, stop_when_closed, quiet, priority, expires_at, due_at, status_at)
        SELECT $1, d.id, d.message_id, $2, $3, d.ordinal, d.piece, $9, $10, $11, $12, $13::jsonb, $14, $15, now(), $4
        FROM unnest($5::uuid[], $6::uuid[], $7::smallint[], $8::jsonb[]) AS d (id, message_id, ordinal, piece)
        """,
        workspace_id,
        thread.id,
        thread.channel_id,
        at,
        [d.id for d in deliveries],
        [d.message_id for d in deliveries],
        [d.ordinal for d in deliveries],
        [d.piece for d in deliveries],
        purpose,
        lease_epoch,
        conditions.hold_after_number,
        conditions.stop_when_closed,
        None if conditions.quiet is None else conditions.quiet.stored(),
        BULK_PRIORITY if conditions.bulk else PLANNED_PRIORITY if planned else 0,
        conditions.expires_at,
    )
