"""What an operator watches: readiness, and gauges sampled from the database when somebody asks (row E8)."""

from __future__ import annotations

from prometheus_client import Gauge

from inbox.delivery import repository as delivery_rows
from inbox.ingest import repository as ingest_rows
from inbox.kernel.database import DatabaseUnavailable
from inbox.kernel.health import Health
from inbox.kernel.jobs import dead_by_queue
from inbox.kernel.timers import failed_by_kind
from inbox.runtime import Runtime


class Figures:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        registry = runtime.registry
        self._pending = Gauge("inbox_webhooks_pending", "Accepted and not yet handled", registry=registry)
        self._oldest = Gauge("inbox_webhooks_oldest_seconds", "Age of the oldest pending one", registry=registry)
        self._quarantine = Gauge("inbox_quarantine_open", "Items that wait for a replay", registry=registry)
        self._deliveries = Gauge("inbox_deliveries", "Unfinished sends by state", ["state"], registry=registry)
        self._failed = Gauge("inbox_timers_failed", "Timers that were given up", ["kind"], registry=registry)
        self._dead = Gauge("inbox_jobs_dead", "Jobs that were given up", ["queue"], registry=registry)
        self._sockets = Gauge("inbox_sockets", "Live sockets of this process", registry=registry)
        self._restarts = Gauge("inbox_loop_restarts", "How often a side task died", ["loop"], registry=registry)
        self._database_up = Gauge("inbox_database_up", "Whether PostgreSQL answers", registry=registry)
        self._wakeup_up = Gauge("inbox_wakeup_up", "Whether wake-ups of other nodes arrive", registry=registry)

    def health(self) -> Health:
        return Health(self._runtime.registry, {"database": self._database}, self.collect)

    async def collect(self) -> None:
        self._sockets.set(sum(len(room.sessions) for room in self._runtime.hub.tails.rooms()))
        self._wakeup_up.set(self._runtime.wakeup.healthy)
        for loop, deaths in self._runtime.supervisor.deaths.items():
            self._restarts.labels(loop).set(deaths)
        try:
            async with self._runtime.database.session() as connection:
                pending, oldest, quarantine = await ingest_rows.backlog(connection)
                states = await delivery_rows.unfinished(connection)
                failed, dead = await failed_by_kind(connection), await dead_by_queue(connection)
                await self._runtime.outgoing.metrics.sample(connection)
        except DatabaseUnavailable:
            self._database_up.set(0)
            return
        self._database_up.set(1)
        self._pending.set(pending)
        self._oldest.set(oldest)
        self._quarantine.set(quarantine)
        for gauge, counts in ((self._failed, failed), (self._dead, dead)):
            gauge.clear()  # what nothing is stuck in any more has no row
            for name, count in counts.items():
                gauge.labels(name).set(count)
        for state, count in states.items():
            self._deliveries.labels(state).set(count)

    async def _database(self) -> str | None:
        try:
            async with self._runtime.database.session() as connection:
                await connection.fetchval("SELECT 1")
        except DatabaseUnavailable as error:
            return error.detail
        return None
