"""A small cache with an age limit, for rows that are read often and change seldom."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """Found values live for ``fresh`` seconds, the knowledge that there is none for ``unknown`` seconds.

    Two callers that miss at once both read: a cache is no lock. What was read before a ``clear`` is not kept after it.
    """

    def __init__(self, *, fresh: float, unknown: float, most: int = 20_000) -> None:
        self._fresh = fresh
        self._unknown = unknown
        self._most = most
        self._entries: dict[K, tuple[float, V | None]] = {}
        self._generation = 0

    async def get(self, key: K, read: Callable[[], Awaitable[V | None]]) -> V | None:
        entry = self._entries.get(key)
        if entry is not None and time.monotonic() < entry[0]:
            return entry[1]
        generation = self._generation
        value = await read()
        if generation != self._generation:
            return value
        if len(self._entries) >= self._most:
            self._entries.clear()
        self._entries[key] = (time.monotonic() + (self._unknown if value is None else self._fresh), value)
        return value

    def clear(self) -> None:
        self._generation += 1
        self._entries.clear()
