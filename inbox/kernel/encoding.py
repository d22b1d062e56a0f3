"""JSON as this product writes it: dataclasses, times and ids as they are, in one pass.

What events carry is equal, as text too, to what REST answers: pydantic ends UTC times with Z, and so do we.
"""

from __future__ import annotations

from uuid import UUID

import orjson


def encode(value: object) -> bytes:
    """Compact JSON. Raises ``TypeError`` for what is neither JSON nor a dataclass, an enum, a time or an id."""
    return orjson.dumps(value, default=_encodable, option=orjson.OPT_UTC_Z)


def _encodable(value: object) -> object:
    # asyncpg hands out a subclass of UUID, which orjson does not take for one.
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
