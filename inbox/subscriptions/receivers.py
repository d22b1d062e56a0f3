"""How a receiver does, told from what came of requests to it: well, down, busy for a while, or given up. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from inbox.subscriptions.posting import Exchange
from inbox.subscriptions.retries import gives_up_receiver
from inbox.subscriptions.schemas import Reason

MOST_IN_THE_AIR: Final = 8
DOWN_AFTER: Final = 3
"""Lanes that failed since the last success: then the receiver is held to be down, and asked one at a time."""


class Receiver:
    """``failing``: the lanes that wait behind a failure since its last success."""

    def __init__(self, failures: int, failing_since: datetime | None, failing: Iterable[UUID]) -> None:
        self.failures = failures
        self.failing_since = failing_since
        self._failing = set(failing)
        self.busy_until: datetime | None = None

    @property
    def down(self) -> bool:
        return len(self._failing) >= DOWN_AFTER

    @property
    def allowed(self) -> int:
        """Requests in the air at a time."""
        return 1 if self.down else MOST_IN_THE_AIR

    def paused(self, now: datetime) -> bool:
        """It asked for time."""
        if self.busy_until is not None and self.busy_until <= now:
            self.busy_until = None
        return self.busy_until is not None

    def succeeded(self, *, crowded: bool) -> bool:
        """Whether that ends a time in which it was down, so that what waits may be tried at once.

        ``crowded``: nothing new was read because of what waits.
        """
        if self.failures:
            self.failures, self.failing_since = 0, None
        if not self._failing:
            return False
        was_down, self._failing = self.down or crowded, set()
        return was_down

    def failed(self, lane: UUID, exchange: Exchange) -> None:
        self._failing.add(lane)
        self.failures += 1
        self.failing_since = self.failing_since or exchange.at
        if exchange.busy_until is not None:
            self.busy_until = exchange.busy_until

    def caught_up(self, lane: UUID) -> None:
        self._failing.discard(lane)

    def given_up(self, exchange: Exchange) -> Reason | None:
        """Whether this exchange was the last one, and why."""
        if exchange.gone:
            return "gone"
        if self.failing_since and gives_up_receiver(exchange.at, self.failing_since, self.failures):
            return "failing"
        return None
