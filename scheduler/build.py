"""Puts the parts of this room together for a process."""

from __future__ import annotations

from typing import Protocol

from prometheus_client import CollectorRegistry

from inbox.kernel.database import Database
from inbox.kernel.settings import Settings
from inbox.kernel.timers_firing import TimerFiring
from scheduler.clock import SchedulerClock
from scheduler.metrics import TimerMetrics
from scheduler.retention import Retention


class Parts(Protocol):
    """What the clock needs of a process."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def registry(self) -> CollectorRegistry: ...


def build_clock(parts: Parts) -> SchedulerClock:
    """The clock with its upkeep. Handlers of timers are registered at ``clock.firing`` before it starts."""
    clock = SchedulerClock(TimerFiring(parts.database, observe=TimerMetrics(parts.registry).fired))
    Retention(parts.database, parts.settings).add_to(clock)
    return clock
