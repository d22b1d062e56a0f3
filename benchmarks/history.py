"""Rows that would have taken long to receive, written by SQL in the shape that the product itself writes."""

from __future__ import annotations

import asyncpg

from benchmarks.traffic import STATUSES

RECEIVED = """
WITH shares AS (
    SELECT v.*, row_number() OVER (ORDER BY v.id) - 1 AS n, count(*) OVER () AS threads FROM conversations v
), made AS (
    INSERT INTO messages (workspace_id, id, conversation_id, channel_id, number, direction, author_kind, author_name,
        external_id, parts, forwarded, occurred_at, created_at)
    SELECT s.workspace_id, gen_random_uuid(), s.id, s.channel_id, s.last_number + i, 'in', 'contact', 'Customer',
        format('wamid.old.%s.%s', s.id, s.last_number + i),
        jsonb_build_array(jsonb_build_object('text', 'An older message, of ordinary length, number ' || i,
            'entities', '[]'::jsonb, 'type', 'text')),
        false, now() - interval '1 hour', now() - interval '1 hour'
    FROM shares s, generate_series(1, $1::bigint / s.threads) AS i
)
UPDATE conversations v SET last_number = v.last_number + $1::bigint / s.threads,
    last_inbound_number = v.last_number + $1::bigint / s.threads,
    inbound_count = v.inbound_count + $1::bigint / s.threads
FROM shares s WHERE v.workspace_id = s.workspace_id AND v.id = s.id
"""
SENT = """
WITH shares AS (
    SELECT v.*, row_number() OVER (ORDER BY v.id) - 1 AS n, count(*) OVER () AS threads FROM conversations v
), wanted AS (
    SELECT s.*, i, gen_random_uuid() AS message_id FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS i
    JOIN shares s ON s.n = i % s.threads
), made AS (
    INSERT INTO messages (workspace_id, id, conversation_id, channel_id, number, direction, author_kind, parts,
        status, forwarded, occurred_at, created_at)
    SELECT workspace_id, message_id, id, channel_id, last_number + 1 + (i - $1) / threads, 'out', 'agent',
        '[{"text": "An answer", "entities": [], "type": "text"}]', 'sending', false, now(), now()
    FROM wanted
), parts AS (
    INSERT INTO deliveries (workspace_id, id, message_id, conversation_id, channel_id, ordinal, piece, state, due_at,
        external_id, sent_at)
    SELECT workspace_id, gen_random_uuid(), message_id, id, channel_id, 0, '{"kind": "text"}', 'uncertain', now(),
        'wamid.out.' || lpad(i::text, 9, '0'), now()
    FROM wanted
)
UPDATE conversations v SET last_number = v.last_number + 1 + $2::bigint / s.threads
FROM shares s WHERE v.workspace_id = s.workspace_id AND v.id = s.id
"""


async def add_received(connection: asyncpg.Connection[asyncpg.Record], count: int) -> None:
    """``count`` older messages, spread over the conversations that there are."""
    await connection.execute(RECEIVED, count, timeout=300)


async def add_sent(connection: asyncpg.Connection[asyncpg.Record], first: int, count: int) -> int:
    """Messages of ours that wait for the receipts with the numbers from ``first`` on, three each."""
    await connection.execute(SENT, first // len(STATUSES), count, timeout=300)
    return count * len(STATUSES)
