"""Neighbours share a batch; each gets its own result, or the failure of its batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from inbox.kernel.batching import Batcher, Stopped


async def test_what_queues_while_a_batch_runs_is_the_next_batch() -> None:
    batches: list[list[int]] = []

    async def work(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        await asyncio.sleep(0.01)
        return [item * 10 for item in items]

    batcher = Batcher(work, most=4)
    first = batcher.submit(0)
    await asyncio.sleep(0)
    rest = [batcher.submit(item) for item in range(1, 8)]
    assert await asyncio.gather(first, *rest) == [item * 10 for item in range(8)]
    assert batches == [[0], [1, 2, 3, 4], [5, 6, 7]]


async def test_a_failed_batch_fails_its_own_items_and_no_other() -> None:
    async def work(items: Sequence[str]) -> Sequence[str]:
        await asyncio.sleep(0)
        if "bad" in items:
            raise ConnectionError("down")
        return items

    batcher = Batcher(work, most=1)
    results = await asyncio.gather(*[batcher.submit(item) for item in ("a", "bad", "b")], return_exceptions=True)
    assert [results[0], results[2]] == ["a", "b"]
    assert isinstance(results[1], ConnectionError)


async def test_an_item_whose_waiter_left_is_done_all_the_same() -> None:
    done: list[str] = []

    async def work(items: Sequence[str]) -> Sequence[str]:
        await asyncio.sleep(0.01)
        done.extend(items)
        return items

    batcher = Batcher(work, most=10)
    left, stays = batcher.submit("left"), batcher.submit("stays")
    left.cancel()
    assert await stays == "stays"
    assert done == ["left", "stays"]


async def test_stop_finishes_what_was_taken_and_refuses_more() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0.01)
        return items

    batcher = Batcher(work, most=1)
    taken = [batcher.submit(1), batcher.submit(2)]
    await batcher.stop()
    assert [future.result() for future in taken] == [1, 2]
    with pytest.raises(Stopped):
        batcher.submit(3)
