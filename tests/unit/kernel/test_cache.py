"""What an ``ExpiringCache`` keeps, and what it must not."""

from __future__ import annotations

import asyncio

from inbox.kernel.cache import ExpiringCache


async def test_a_value_is_read_once_until_it_is_old() -> None:
    reads = 0

    async def read() -> int:
        nonlocal reads
        reads += 1
        return reads

    cache: ExpiringCache[str, int] = ExpiringCache(fresh=60, unknown=60)
    assert [await cache.get("key", read), await cache.get("key", read)] == [1, 1]
    cache.clear()
    assert await cache.get("key", read) == 2

    old: ExpiringCache[str, int] = ExpiringCache(fresh=0, unknown=0)
    assert [await old.get("key", read), await old.get("key", read)] == [3, 4]


async def test_the_knowledge_that_there_is_none_is_kept_too() -> None:
    reads = 0

    async def read() -> None:
        nonlocal reads
        reads += 1

    cache: ExpiringCache[str, int] = ExpiringCache(fresh=60, unknown=60)
    assert await cache.get("key", read) is None
    assert await cache.get("key", read) is None
    assert reads == 1


async def test_what_was_read_before_a_clear_is_not_kept_after_it() -> None:
    cache: ExpiringCache[str, str] = ExpiringCache(fresh=60, unknown=60)
    reading = asyncio.Event()
    may_end = asyncio.Event()

    async def slow() -> str:
        reading.set()
        await may_end.wait()
        return "old"

    async def fast() -> str:
        return "new"

    pending = asyncio.create_task(cache.get("key", slow))
    await reading.wait()
    cache.clear()
    may_end.set()
    assert await pending == "old"
    assert await cache.get("key", fast) == "new"
