"""What is counted of events on their way out (row E8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from inbox.kernel.connection import Connection
from inbox.subscriptions import repository as rows


class Counted(Protocol):
    @property
    def purpose(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def milliseconds(self) -> int: ...


class SubscriptionMetrics:
    """Counters are of this process; gauges are sampled from the database, for all nodes, when somebody asks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "inbox_event_deliveries", "Requests to receivers", ["purpose", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "inbox_event_delivery_seconds",
            "Until a receiver answered, or did not",
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
            registry=registry,
        )
        self._subscriptions = Gauge(
            "inbox_subscriptions", "By state; of disabled ones with the reason", ["state", "reason"], registry=registry
        )
        self._oldest = Gauge(
            "inbox_events_out_oldest_seconds", "Age of the oldest event that is not delivered", registry=registry
        )
        self._waiting = Gauge("inbox_events_out_lanes", "Conversations that wait behind a failure", registry=registry)

    def attempted(self, attempts: Sequence[Counted]) -> None:
        for one in attempts:
            self._attempts.labels(one.purpose, one.outcome).inc()
            self._seconds.observe(one.milliseconds / 1000)

    async def sample(self, connection: Connection) -> None:
        """Raises ``DatabaseUnavailable`` as its connection does."""
        figures = await rows.figures(connection)
        self._subscriptions.clear()
        for (state, reason), count in figures.states.items():
            self._subscriptions.labels(state, reason).set(count)
        self._oldest.set(figures.oldest_seconds)
        self._waiting.set(figures.lanes)
