"""Puts the outgoing webhooks of one process together, from what it needs of the rest."""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol

from prometheus_client import CollectorRegistry

from inbox.kernel.clock import Clock, SystemClock
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.http import HttpClient, HttpSettings
from inbox.kernel.secrets import SecretBox
from inbox.kernel.settings import Settings
from inbox.kernel.wakeup import Wakeup
from inbox.subscriptions.answers import Answers
from inbox.subscriptions.metrics import SubscriptionMetrics
from inbox.subscriptions.posting import Answered, Poster
from inbox.subscriptions.service import Subscriptions
from inbox.subscriptions.vault import Vault
from inbox.subscriptions.worker import EXTRA_REQUESTS, MOST_HELD, TOPIC, Worker

KEEP_ALIVE: Final = 30.0
PINGS: Final = 50


class Parts(Protocol):
    """What the runtime has by then."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def event_log(self) -> EventLog: ...
    @property
    def wakeup(self) -> Wakeup: ...
    @property
    def registry(self) -> CollectorRegistry: ...
    @property
    def box(self) -> SecretBox: ...


class Outgoing:
    """``service`` for whoever takes requests, on every node once ``start`` was called; ``run`` is for workers."""

    def __init__(
        self,
        http: HttpClient[Answered],
        service: Subscriptions,
        worker: Worker,
        metrics: SubscriptionMetrics,
    ) -> None:
        self._http = http
        self.metrics = metrics
        self.service = service
        self.worker = worker

    async def start(self) -> None:
        await self._http.start()

    async def run(self) -> None:
        await self.worker.run()

    def stop(self) -> None:
        """``run`` ends when what is in the air has ended and is written down."""
        self.worker.stop()

    async def close(self) -> None:
        await self._http.stop()


def build_subscriptions(
    parts: Parts,
    *,
    events_topic: str,
    owners_topic: str,
    clock: Clock | None = None,
    answers: Answers | None = None,
) -> Outgoing:
    """``events_topic``: published when a log grows; ``owners_topic``: when what an agent may do changes.

    ``answers`` takes what programs answer to the events that they get.
    """
    clock = clock or SystemClock()
    allow_private = parts.settings.allow_private_networks
    # Connections of its own, as many as there can be requests: slow receivers take none from the providers, and the
    # receivers behind one host none from each other.
    http = HttpClient(
        HttpSettings(
            allow_private=allow_private,
            connections=MOST_HELD + EXTRA_REQUESTS + PINGS,
            connections_per_host=0,
            keep_alive=KEEP_ALIVE,
        ),
        Answered,
    )
    vault, poster = Vault(parts.box), Poster(http, clock)
    metrics = SubscriptionMetrics(parts.registry)
    changed = partial(parts.wakeup.publish, TOPIC)
    service = Subscriptions(parts.database, parts.event_log, vault, poster, clock, changed, allow_private=allow_private)
    worker = Worker(
        parts.database,
        parts.event_log,
        parts.wakeup,
        vault,
        poster,
        clock,
        events_topic=events_topic,
        owners_topic=owners_topic,
        answers=answers,
        observe=metrics.attempted,
    )
    return Outgoing(http, service, worker, metrics)
