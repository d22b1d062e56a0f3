"""What the way in counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram

from inbox.ingest.repository import Quarantined, RawDelivery


class IngestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._webhooks = Counter(
            "inbox_webhooks", "Webhook requests by answer", ["provider", "status"], registry=registry
        )
        self._processed = Counter("inbox_webhooks_processed", "Accepted bodies that were handled", registry=registry)
        self._items = Counter("inbox_inbound_items", "Items that those bodies held", registry=registry)
        self._quarantined = Counter(
            "inbox_quarantined", "Items put into quarantine, by reason", ["reason"], registry=registry
        )
        self._lag = Histogram(
            "inbox_processing_lag_seconds",
            "From acceptance to stored",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
            registry=registry,
        )
        self._answers: dict[tuple[str, int], Counter] = {}

    def answered(self, provider: str, status: int) -> None:
        counter = self._answers.get((provider, status))
        if counter is None:
            counter = self._answers[provider, status] = self._webhooks.labels(provider, str(status))
        counter.inc()

    def processed(self, bodies: Sequence[RawDelivery], items: int) -> None:
        self._processed.inc(len(bodies))
        self._items.inc(items)
        now = datetime.now(UTC)
        if bodies:
            self._lag.observe((now - bodies[0].received_at).total_seconds())

    def quarantined(self, faults: Sequence[Quarantined]) -> None:
        for fault in faults:
            self._quarantined.labels(fault.reason).inc()
