"""What the clock counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram


class TimerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._fired = Counter("inbox_timers_fired", "Timers whose effect is committed", ["kind"], registry=registry)
        self._lateness = Histogram(
            "inbox_timer_lateness_seconds",
            "From the promised time to the transaction that fired it; the latest timer of each batch",
            ["kind"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3600),
            registry=registry,
        )

    def fired(self, kind: str, count: int, lateness: float) -> None:
        self._fired.labels(kind).inc(count)
        self._lateness.labels(kind).observe(max(0.0, lateness))


class ScheduledMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._lateness = Histogram(
            "inbox_scheduled_lateness_seconds",
            "From the time of each scheduled message to its hand-over for sending",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3600, 86400),
            registry=registry,
        )

    def handed_over(self, lateness: float) -> None:
        self._lateness.observe(lateness)


class SequenceMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._lateness = Histogram(
            "inbox_sequence_lateness_seconds",
            "From the time of each step of a sequence to its hand-over for sending",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3600, 86400),
            registry=registry,
        )

    def handed_over(self, lateness: float) -> None:
        self._lateness.observe(lateness)
