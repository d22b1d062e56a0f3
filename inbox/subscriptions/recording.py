"""Writes what was delivered and how far each subscription is: neighbours of all subscriptions share one transaction.

Senders do not wait for it: a crash before the commit repeats what was sent since, in order and under the same ids. But
no more than ``MOST_WAITING`` attempts are ever unwritten, so an outage of PostgreSQL stops the sending.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from inbox.kernel.database import CONTENDED, Database, DatabaseUnavailable
from inbox.subscriptions import leases as rows
from inbox.subscriptions.leases import AttemptRow, Progress

log = logging.getLogger(__name__)

MOST_WAITING: Final = 2048
MOST_AT_ONCE: Final = 512
PAUSE: Final = 0.5
GATHER: Final = 0.01
"""Seconds in which neighbours gather; nobody waits for them."""


class Recorded(Protocol):
    """A subscription under work, as the recorder sees it."""

    def progress(self) -> Progress:
        """How it stands now. What it says of lanes counts as written only after ``saved``."""
        ...

    def saved(self, progress: Progress, *, held: bool) -> None: ...

    def not_saved(self, progress: Progress) -> None: ...


Observer: TypeAlias = Callable[[Sequence[AttemptRow]], None]


def unobserved(attempts: Sequence[AttemptRow]) -> None:
    return None


class Recorder:
    """``observe`` is told of attempts once they are written."""

    def __init__(self, database: Database, *, lease_seconds: float, observe: Observer = unobserved) -> None:
        self._database = database
        self._observe = observe
        self._lease_seconds = lease_seconds
        self._attempts: list[AttemptRow] = []
        self._touched: dict[Recorded, None] = {}
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = False

    @property
    def waiting(self) -> int:
        return len(self._attempts)

    def add(self, subscription: Recorded, attempt: AttemptRow | None = None) -> None:
        """Write down the attempt, and where the subscription stands by then; this prolongs its lease."""
        if attempt is not None:
            self._attempts.append(attempt)
            if len(self._attempts) >= MOST_WAITING:
                self._room.clear()
        self._touched[subscription] = None
        self._something.set()

    async def room(self) -> None:
        """Wait until another attempt may be made."""
        await self._room.wait()

    def begin(self) -> None:
        self._stopping = False

    def stop(self) -> None:
        """``run`` ends when all is written."""
        self._stopping = True
        self._something.set()

    async def run(self) -> None:
        while self._touched or self._attempts or not self._stopping:
            await self._something.wait()
            if not self._stopping:
                await asyncio.sleep(GATHER)
            self._something.clear()
            try:
                await self._write()
            except (DatabaseUnavailable, *CONTENDED) as error:
                if self._stopping:
                    log.warning("%d attempts are not written down (%s)", len(self._attempts), type(error).__name__)
                    return
                await asyncio.sleep(PAUSE)
            if self._touched or self._attempts or self._stopping:
                self._something.set()

    async def _write(self) -> None:
        attempts = self._attempts[:MOST_AT_ONCE]
        touched = list(self._touched)
        progress = [one.progress() for one in touched]
        self._touched.clear()
        order = sorted(range(len(progress)), key=lambda n: progress[n].lease.subscription_id)
        try:
            async with self._database.transaction() as unit:
                kept = await rows.save(unit, [progress[n] for n in order], self._lease_seconds)
                if attempts:
                    await rows.log_attempts(unit, attempts)
        except BaseException:
            for one, unwritten in zip(touched, progress, strict=True):
                one.not_saved(unwritten)
            self._touched = {**dict.fromkeys(touched), **self._touched}
            raise
        del self._attempts[: len(attempts)]
        self._observe(attempts)
        if len(self._attempts) < MOST_WAITING:
            self._room.set()
        for one, written in zip(touched, progress, strict=True):
            one.saved(written, held=written.lease.subscription_id in kept)
