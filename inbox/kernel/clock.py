"""Time as a dependency: code that waits or compares instants receives a `Clock`, so tests move time by hand.

`now()` is an aware UTC datetime and may jump with the system's clock: use it for what is stored or shown.
`monotonic()` is seconds that never run backwards: use it for durations and deadlines inside one process.
Instants that decide who wins a race between nodes come from the database's `now()`, never from here.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; only differences mean something."""
        ...


class SystemClock:
    """The clock of the machine."""

    __slots__ = ()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
