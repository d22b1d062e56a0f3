"""Keeps the side tasks of a process alive: a loop that dies is reported and started again, never silently gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
HEALTHY_SECONDS = 30.0
"""A task that ran this long before it died starts again at once."""


class Supervisor:
    """Long-running loops by name, and short background work that must end before the process does."""

    def __init__(self) -> None:
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self.deaths: dict[str, int] = {}
        """How often each loop died since the start."""

    def run(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run until it returns; start it again when it raises."""
        self._loops[name] = asyncio.create_task(self._keep(name, loop), name=name)

    def background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Work that nobody waits for. Its failure is logged."""
        task = asyncio.create_task(self._once(work, name), name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def finish(self, name: str, *, within: float) -> None:
        """Wait for a loop that was told to end; cancel it when it does not."""
        task = self._loops.pop(name, None)
        if task is None:
            return
        _, late = await asyncio.wait([task], timeout=within)
        if late:
            log.warning("%s did not end within %.0f s and is cancelled", name, within)
            task.cancel()
            await asyncio.wait([task])

    async def settle(self, *, within: float) -> None:
        """Wait for the background work, and cancel what is late."""
        if not self._background:
            return
        _, late = await asyncio.wait(self._background, timeout=within)
        for task in late:
            task.cancel()

    async def _keep(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE
        clock = asyncio.get_running_loop()
        while True:
            started = clock.time()
            try:
                await loop()
                return
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                # Nobody cancelled the loop: it leaked from something that it awaited.
                self._died(name)
            except Exception:
                self._died(name)
            pause = FIRST_PAUSE if clock.time() - started > HEALTHY_SECONDS else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    def _died(self, name: str) -> None:
        self.deaths[name] = self.deaths.get(name, 0) + 1
        log.exception("%s died and is started again", name)

    async def _once(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except Exception:
            log.exception("%s failed", name)
