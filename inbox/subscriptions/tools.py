"""What the feeds of one process share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from inbox.kernel.clock import Clock
from inbox.kernel.database import Database
from inbox.subscriptions.answers import Answers
from inbox.subscriptions.leases import Progress
from inbox.subscriptions.pages import Pages
from inbox.subscriptions.posting import Poster
from inbox.subscriptions.recording import Recorder
from inbox.subscriptions.retries import Retries
from inbox.subscriptions.schemas import Reason


class Slots:
    """Requests beyond each subscription's first one, for all of a process together."""

    def __init__(self, extra: int) -> None:
        self._free = extra

    def take(self) -> bool:
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def give(self) -> None:
        self._free += 1


@dataclass(frozen=True, slots=True)
class Tools:
    """``head_of`` a workspace's log, as far as known; ``disable`` is asked when a receiver is given up."""

    database: Database
    pages: Pages
    poster: Poster
    recorder: Recorder
    retries: Retries
    clock: Clock
    slots: Slots
    head_of: Callable[[UUID], int]
    disable: Callable[[Progress, Reason], Awaitable[None]]
    lease_seconds: float
    answers: Answers | None = None
    """Takes what programs answer to events."""
