"""Builds the object graph of a process once, starts it in order, stops it in reverse.

Everything is handed to whoever needs it, here and nowhere else: this page shows who depends on whom.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from apscheduler.triggers.interval import IntervalTrigger
from prometheus_client import CollectorRegistry

import inbox.tables  # noqa: F401 - fills the metadata, from which the partitions are made
from channels.adapter import Adapter, HttpAnswer, Provider
from channels.registry import ADAPTERS, PROVIDERS
from contacts.resolution import Resolver
from contacts.service import Contacts
from inbox.agents.authentication import TOKENS_TOPIC, Authentication
from inbox.agents.service import Agents
from inbox.agents.sessions import Sessions
from inbox.agents.throttle import LogInThrottle
from inbox.agents.tokens import Tickets, Tokens
from inbox.agents.workspaces import Workspaces
from inbox.audit.service import Audit
from inbox.blocking.build import Blocking
from inbox.connections.apps import ProviderApps
from inbox.connections.connecting import Connecting
from inbox.connections.directory import Directory
from inbox.connections.service import Channels
from inbox.connections.upkeep import ChannelUpkeep
from inbox.conversations.profiles import ProfileFetcher, ProfileRequests
from inbox.conversations.service import Conversations
from inbox.conversations.starting import Starting
from inbox.delivery.build import build_delivery
from inbox.delivery.dispatcher import TOPIC as DELIVERIES_TOPIC
from inbox.delivery.pausing import pause_buckets
from inbox.delivery.signals import Signals
from inbox.ingest.acceptance import Acceptance
from inbox.ingest.intake import Intake
from inbox.ingest.metrics import IngestMetrics
from inbox.ingest.processor import Processor
from inbox.ingest.replay import Replay
from inbox.kernel.clock import SystemClock
from inbox.kernel.database import Database
from inbox.kernel.eventlog import EventLog
from inbox.kernel.http import HttpClient, HttpSettings
from inbox.kernel.jobs import Jobs
from inbox.kernel.jobs_worker import Worker
from inbox.kernel.keys import check_keys, secret_box
from inbox.kernel.migrate import check_schema
from inbox.kernel.partitions import ensure
from inbox.kernel.reactions import Reactions
from inbox.kernel.secrets import Passwords
from inbox.kernel.settings import Settings
from inbox.kernel.supervisor import Supervisor
from inbox.kernel.wakeup import Wakeup
from inbox.media.attachments import Attachments
from inbox.media.build import build_media
from inbox.messages.channel_news import ChannelNews
from inbox.messages.consequences import Consequences
from inbox.messages.forgetting import Forgetting
from inbox.messages.joining import ThreadJoiner
from inbox.messages.media_parts import MediaParts
from inbox.messages.profile_refresh import ProfileRefresh
from inbox.messages.receiving import Receiver
from inbox.messages.sending import Sending
from inbox.messages.service import Messages
from inbox.operations.service import Operations
from inbox.realtime.build import build_hub
from inbox.realtime.hub import Pace
from inbox.realtime.relay import PostgresRelay
from inbox.realtime.tail import TOPIC as EVENTS_TOPIC
from inbox.realtime.tail import CommitAnnouncer
from inbox.subscriptions.build import build_subscriptions
from inbox.templates.build import build_templates
from scheduler.build import build_clock
from scheduler.metrics import ScheduledMetrics, SequenceMetrics
from scheduler.scheduled.build import build_scheduled
from scheduler.sequences.build import build_sequences
from scheduler.ties import Ties
from scheduler.workflows.bots import Bots
from scheduler.workflows.build import build_workflows
from scheduler.workflows.leases import lease_of
from scheduler.workflows.moves import Moves
from scheduler.workflows.responders import FirstResponders

log = logging.getLogger(__name__)

CHANNELS_TOPIC = "channels"


class Runtime:
    """One process of the product. ``worker`` loops run only where the settings give this process that role.

    ``adapters`` and ``providers``: the channels of this installation, by kind and by name.
    """

    def __init__(
        self,
        settings: Settings,
        dsn: str,
        *,
        adapters: Mapping[str, Adapter] = ADAPTERS,
        providers: Mapping[str, Provider] = PROVIDERS,
    ) -> None:
        self.settings = settings
        self.providers = providers
        self.node = f"{socket.gethostname()}:{os.getpid()}"
        self.registry = CollectorRegistry()
        self.supervisor = Supervisor()
        # Each area takes what those before it have put in place, which is why the order counts.
        self._build_kernel(dsn)
        self._build_people()
        self._build_channels(dsn, adapters)
        self._build_conversations()
        self._build_way_in()
        self._build_way_out()
        self._build_automation()
        self._build_stream(dsn)
        self._build_clock()

    def _build_kernel(self, dsn: str) -> None:
        settings = self.settings
        self.wakeup = Wakeup()
        self.event_log = EventLog()
        self.reactions = Reactions()
        self.database = Database(
            dsn, connections=settings.database_connections, event_log=self.event_log, reactions=self.reactions
        )
        self.box = secret_box(settings)
        self.http = HttpClient(HttpSettings(allow_private=settings.allow_private_networks), HttpAnswer)
        self._announcer = CommitAnnouncer(self.event_log, self.wakeup)
        self.jobs = Jobs(self.wakeup)
        self.worker = Worker(self.database, self.wakeup)

    def _build_people(self) -> None:
        settings, clock = self.settings, SystemClock()
        passwords = Passwords()
        throttle = LogInThrottle(self.database)
        self.authentication = Authentication(self.database, self.wakeup, clock)
        changed = self.authentication.changed
        self.workspaces = Workspaces(self.database, passwords)
        self.agents = Agents(self.database, passwords, throttle, changed)
        self.sessions = Sessions(self.database, passwords, throttle, changed, hours=settings.session_hours)
        self.tokens = Tokens(self.database, clock, changed)
        self.tickets = Tickets(self.database, seconds=settings.ticket_seconds)
        self.audit = Audit(self.database)
        self.operations = Operations(self.database, self.jobs)

    def _build_channels(self, dsn: str, adapters: Mapping[str, Adapter]) -> None:
        settings = self.settings
        # Looked up inside transactions too: with a pool of its own, none waits for a connection that waits for it.
        self.lookups = Database(dsn, connections=2, event_log=self.event_log)
        self.directory = Directory(self.lookups, self.box, adapters, settings.graph_version)
        channels_changed = partial(self.wakeup.publish, CHANNELS_TOPIC)
        self.wakeup.subscribe(CHANNELS_TOPIC, lambda workspace_id, *, full: self.directory.forget())
        self.apps = ProviderApps(self.database, self.box, self.directory, tuple(self.providers), channels_changed)
        self.channels = Channels(
            self.database,
            self.box,
            self.directory,
            adapters,
            self.http,
            channels_changed,
            graph_version=settings.graph_version,
            allow_private=settings.allow_private_networks,
        )
        self.templates = build_templates(self, adapters)
        self.templates.syncing.register(self.worker)
        health = self.channels.health
        self.channel_upkeep = ChannelUpkeep(
            self.database,
            self.directory,
            self.box,
            self.http,
            health,
            self.jobs,
            adapters,
            silent_after=timedelta(hours=settings.channel_silent_hours),
        )
        self.channel_upkeep.register(self.worker)
        self.connecting = Connecting(
            self.database,
            self.directory,
            self.http,
            health,
            [self.templates.syncing.ask, self.channel_upkeep.ask_on_connecting],
            public_url=settings.public_url,
        )

    def _build_conversations(self) -> None:
        self.contacts = Contacts(self.database)
        self.conversations = Conversations(self.database, self.event_log, self.directory)
        self.starting = Starting(self.database, self.directory, self.conversations)
        self.ties = Ties(self.conversations)
        self._moves = Moves(self.conversations, self.ties)
        self.messages = Messages(self.database, self.event_log, self.conversations)
        self.media = build_media(self, MediaParts(self.conversations))
        self.media.register(self.worker)
        ProfileFetcher(self.database, self.directory, self.http, self.media.avatars).register(self.worker)
        self._profiles = ProfileRequests(self.jobs)
        self.reactions.on("message.created", ProfileRefresh(self.directory, self._profiles).follow)
        self.forgetting = Forgetting(self.database, self.jobs)
        self.forgetting.listen(self.reactions)
        self.forgetting.register(self.worker)
        self.sending = Sending(
            self.database,
            self.directory,
            self.conversations,
            self.media.service,
            self.templates.service,
            partial(self.wakeup.publish, DELIVERIES_TOPIC),
            lease_of,
        )
        self.signals = Signals(self.database, self.directory, self.conversations, self.http, self.supervisor)

    def _build_way_in(self) -> None:
        settings, health = self.settings, self.channels.health
        self.consequences = Consequences(self.conversations, health, pause_buckets)
        resolver = Resolver(ThreadJoiner(self.conversations).join)
        self.receiver = Receiver(
            resolver,
            self.conversations,
            Attachments(self.jobs),
            self._profiles,
            self.signals.acknowledge,
            ChannelNews(health, self.templates.syncing),
            self.consequences,
            FirstResponders(self._moves),
        )
        self.ingest_metrics = IngestMetrics(self.registry)
        self.processor = Processor(self.database, self.directory, self.providers, self.receiver, self.ingest_metrics)
        self.intake = Intake(self.database, self.processor, lease_seconds=settings.webhook_lease)
        self.acceptance = Acceptance(self.database, self.intake.accepted, lease_seconds=settings.webhook_lease)
        self.replay = Replay(self.database, self.processor)

    def _build_way_out(self) -> None:
        self.delivery = build_delivery(self, files=self.media.service)
        self.blocking = Blocking(self)

    def _build_automation(self) -> None:
        files = self.media.service
        self.scheduled = build_scheduled(
            self,
            files=files,
            templates=self.templates.service,
            deliveries=self.delivery.service,
            ties=self.ties,
            metrics=ScheduledMetrics(self.registry),
        )
        self.workflows = build_workflows(self, self._moves)
        self.blocking.paused.register(self.scheduled.paused)
        self.sequences = build_sequences(self, files=files, ties=self.ties, metrics=SequenceMetrics(self.registry))
        self.blocking.paused.register(self.sequences.paused)
        self.blocking.paused.register(self.workflows.paused)

    def _build_stream(self, dsn: str) -> None:
        settings = self.settings
        self.relay = PostgresRelay(dsn, self.node)
        self.hub = build_hub(
            self.database,
            self.event_log,
            self.wakeup,
            still_valid=self.authentication.still_valid,
            announcer=self._announcer,
            relay=self.relay,
            pace=Pace(heartbeat=settings.heartbeat_seconds, queue_bytes=settings.socket_queue_bytes),
        )
        self.outgoing = build_subscriptions(
            self, events_topic=EVENTS_TOPIC, owners_topic=TOKENS_TOPIC, answers=self.workflows.answers
        )
        self.bots = Bots(self.database, self.outgoing.service.registry, self.authentication.changed)

    def _build_clock(self) -> None:
        self.clock = build_clock(self)
        self.blocking.register_timers(self.clock.firing)
        self.scheduled.register(self.clock.firing)
        self.sequences.register(self.clock.firing)
        self.workflows.register(self.clock.firing, self.worker)
        self.clock.add_upkeep("templates", IntervalTrigger(minutes=30, jitter=300), self.templates.refresh)
        self.clock.add_upkeep("channels", IntervalTrigger(minutes=10, jitter=60), self.channel_upkeep.watch)
        self.clock.add_upkeep("tokens", IntervalTrigger(hours=6, jitter=600), self.channel_upkeep.ask_for_renewals)
        self.clock.add_upkeep("media", IntervalTrigger(minutes=10, jitter=60), self.media.retention.sweep)

    async def start(self) -> None:
        """Raises ``SchemaMismatch``, ``WrongKey``, ``DatabaseUnavailable``: each says what to do."""
        await check_schema(self.database.dsn)
        await self.database.start()
        await self.lookups.start()
        async with self.database.session() as connection:
            await ensure(connection)
            await check_keys(connection, self.box)
        await self.http.start()
        await self.outgoing.start()
        await self.wakeup.start(self.database.dsn)
        await self.authentication.start()
        await self.relay.start()
        await self.hub.start()
        if "worker" in self.settings.roles:
            self.supervisor.run("delivery", self.delivery.run)
            self.supervisor.run("subscriptions", self.outgoing.run)
            self.supervisor.run("jobs", self.worker.run)
            await self.clock.start()
        self.supervisor.run("intake", self.intake.run)

    async def stop(self) -> None:
        """Finish what was accepted, tell the sockets, let go of the rest."""
        await self.acceptance.stop()
        self.intake.stop()
        await self.supervisor.finish("intake", within=20)
        if "worker" in self.settings.roles:
            await self.clock.stop()
            self.delivery.stop()
            self.outgoing.stop()
            self.worker.stop()
            await self.supervisor.finish("delivery", within=self.settings.send_timeout + 5)
            await self.supervisor.finish("subscriptions", within=self.settings.send_timeout + 5)
            await self.supervisor.finish("jobs", within=5)  # what is cut off is put back, and begins anew
        await self.supervisor.settle(within=5)
        await self.hub.stop()
        await self.relay.stop()
        await self.authentication.stop()
        await self.wakeup.stop()
        await self.outgoing.close()
        await self.http.stop()
        await self.lookups.stop()
        await self.database.stop()
