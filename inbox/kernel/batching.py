"""Neighbours share one piece of work: whatever queued up while the last batch ran becomes the next batch.

No timer: batches size themselves by the load. One runner is enough, because it never waits for anything but the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Stopped(Exception):
    """The batcher takes no more work: the process is shutting down."""


class Batcher(Generic[T, R]):
    """``submit`` waits until the batch that holds the item is done, and returns the item's own result.

    ``work`` gets the items in the order of submission and returns as many results. When it raises, every submitter of
    that batch gets the exception.
    """

    def __init__(self, work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int) -> None:
        self._work = work
        self._most = most
        self._queue: list[tuple[T, asyncio.Future[R]]] = []
        self._runner: asyncio.Task[None] | None = None
        self._stopped = False

    def submit(self, item: T) -> asyncio.Future[R]:
        """Raises ``Stopped``. The caller awaits the future, or lets go of it: the work is done all the same."""
        if self._stopped:
            raise Stopped
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return future

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def stop(self) -> None:
        """Take no more, and finish what was taken."""
        self._stopped = True
        if self._runner is not None:
            await self._runner

    async def _run(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[: self._most], self._queue[self._most :]
            try:
                results = await self._work([item for item, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)
        self._runner = None
