"""One kind of database connection for everybody: asyncpg, with ``jsonb`` as Python objects.

``json`` columns (the log's payloads) stay text, because they are only passed on.
"""

from __future__ import annotations

from typing import TypeAlias

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from inbox.kernel.encoding import encode

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"


async def prepare_connection(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=encode_jsonb, decoder=decode_jsonb, format="binary"
    )


def encode_jsonb(value: object) -> bytes:
    return b"\x01" + (value if isinstance(value, bytes) else encode(value))


def decode_jsonb(data: bytes) -> object:
    return orjson.loads(data[1:])
