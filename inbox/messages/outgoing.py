"""Inserting outgoing messages and their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from channels.outbound import Piece
from inbox.agents.principal import Principal
from inbox.conversations.repository import Thread
from inbox.kernel.database import Contended, UnitOfWork
from inbox.messages.repository import COLUMNS, view
from inbox.messages.schemas import MessageView


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """``epoch``: of the lease under which a bot wrote it; the gate refuses it when somebody took over (P9)."""

    id: UUID
    message_id: UUID
    ordinal: int
    piece: Piece
    purpose: str
    epoch: int | None


async def insert_outgoing(
    unit: UnitOfWork,
    workspace_id: UUID,
    message_id: UUID,
    thread: Thread,
    *,
    number: int,
    author: Principal,
    parts: bytes,
    reply_to: tuple[UUID, str] | None,
    client_token: str | None,
    fingerprint: bytes,
    at: datetime,
) -> MessageView:
    """``reply_to``: (message, external id). The caller holds the conversation's lock.

    Raises ``Contended`` when the author just used the token in another conversation, which is not locked here.
    """
    row = await unit.fetchrow(
        f"""
        INSERT INTO messages AS m (workspace_id, id, conversation_id, channel_id, number, direction, author_kind,
            author_id, author_name, parts, status, status_at, reply_to_id, reply_to_external_id, client_token,
            fingerprint, occurred_at, created_at)
        VALUES ($1, $2, $3, $4, $5, 'out', $6, $7, $8, $9, 'queued', $10, $11, $12, $13, $14, $10, $10)
        ON CONFLICT (workspace_id, author_id, client_token) WHERE client_token IS NOT NULL DO NOTHING
        RETURNING {COLUMNS}
        """,
        workspace_id,
        message_id,
        thread.id,
        thread.channel_id,
        number,
        "bot" if author.role == "bot" else "agent",
        author.agent_id,
        author.name,
        parts,
        at,
        None if reply_to is None else reply_to[0],
        None if reply_to is None else reply_to[1],
        client_token,
        fingerprint,
    )
    if row is None:
        raise Contended("the client token was used in the same moment")
    return view(row)


async def insert_deliveries(
    unit: UnitOfWork, workspace_id: UUID, thread: Thread, deliveries: Sequence[NewDelivery], *, at: datetime
) -> None:
    await unit.execute(
        """
        INSERT INTO deliveries (workspace_id, id, message_id, conversation_id, channel_id, ordinal, piece, purpose,
            epoch, due_at, status_at)
        SELECT $1, d.id, d.message_id, $2, $3, d.ordinal, d.piece, d.purpose, d.epoch, $4, $4
        FROM unnest($5::uuid[], $6::uuid[], $7::smallint[], $8::jsonb[], $9::text[], $10::bigint[])
             AS d (id, message_id, ordinal, piece, purpose, epoch)
        """,
        workspace_id,
        thread.id,
        thread.channel_id,
        at,
        [d.id for d in deliveries],
        [d.message_id for d in deliveries],
        [d.ordinal for d in deliveries],
        [d.piece for d in deliveries],
        [d.purpose for d in deliveries],
        [d.epoch for d in deliveries],
    )
