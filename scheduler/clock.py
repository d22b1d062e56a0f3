"""The clock of a process: says when to look. What is to be done stands in rows; the clock holds no truth.

APScheduler only ticks: it wakes the loop that fires timers at the next due time, and starts upkeep. The work itself
runs in tasks of ours, because a scheduler that shuts down cancels its own jobs. If its alarm were lost, the loop still
looks every ``poll_seconds``, which bounds the lateness; other nodes' clocks share the same rows (SKIP LOCKED).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.date import DateTrigger

from inbox.kernel.database import DatabaseUnavailable
from inbox.kernel.timers_firing import TimerFiring

log = logging.getLogger(__name__)

JOB_DEFAULTS: Final = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
SHORTEST_PAUSE: Final = 0.02
"""Seconds between rounds: timers that are due one after the other share a transaction."""
ALARM: Final = "timers"

Upkeep = Callable[[], Awaitable[None]]


class SchedulerClock:
    """Register upkeep, ``start`` in the loop, and ``stop``. Handlers of timers are registered at ``firing``."""

    def __init__(self, firing: TimerFiring, *, poll_seconds: float = 0.5) -> None:
        self.firing = firing
        self._poll_seconds = poll_seconds
        self._scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=JOB_DEFAULTS)
        self._upkeep: dict[str, Upkeep] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._stopping = False

    def add_upkeep(self, name: str, trigger: BaseTrigger, work: Upkeep) -> None:
        """Run ``work`` when ``trigger`` says, one run at a time. It must be harmless on several nodes at once."""
        if name in self._upkeep or name == ALARM:
            raise ValueError(f"upkeep {name!r} exists already")
        self._upkeep[name] = work
        self._scheduler.add_job(self._tick, trigger, id=name, args=[name])

    def wake(self) -> None:
        """Look for due timers now."""
        self._wake.set()

    async def start(self) -> None:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)  # it would report every tick
        self._scheduler.start()
        self._loop = asyncio.create_task(self._fire(), name="timers")

    async def stop(self, *, within: float = 10.0) -> None:
        """No more ticks first; then what is under way may end, and is cancelled (rolled back) when it is late."""
        self._stopping = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # it shuts down in the next turn of the loop
        self.firing.stop()
        self._wake.set()
        tasks = [*self._working.values(), *([self._loop] if self._loop else [])]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=within)
        for task in late:
            log.warning("%s did not end within %.0f s and is cancelled", task.get_name(), within)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- timers -------------------------------------------------------------------------------------------------------

    async def _fire(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause = self._poll_seconds
            try:
                await self.firing.fire_due()
                next_due = await self.firing.next_due()
                pause = max(SHORTEST_PAUSE, min([pause, *next_due.values()]))
            except DatabaseUnavailable as error:
                log.warning("timers wait: %s", error)
            except Exception:
                log.exception("a round of timers failed")
            await self._sleep(pause)

    async def _sleep(self, seconds: float) -> None:
        if self._stopping:
            return
        if seconds < self._poll_seconds:
            self._set_alarm(seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self._wake.wait()

    def _set_alarm(self, seconds: float) -> None:
        at = DateTrigger(datetime.now(UTC) + timedelta(seconds=seconds), timezone=UTC)
        self._scheduler.add_job(self._ring, at, id=ALARM, replace_existing=True)

    async def _ring(self) -> None:
        self._wake.set()

    # --- upkeep -------------------------------------------------------------------------------------------------------

    async def _tick(self, name: str) -> None:
        running = self._working.get(name)
        if self._stopping or (running is not None and not running.done()):
            return
        self._working[name] = asyncio.create_task(self._keep_up(name), name=name)

    async def _keep_up(self, name: str) -> None:
        try:
            await self._upkeep[name]()
        except DatabaseUnavailable as error:
            log.warning("upkeep %s waits for its next time: %s", name, error)
        except Exception:
            log.exception("upkeep %s failed", name)
