"""Puts the way out of one process together, from what it needs of the rest."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from channels.adapter import Http
from contacts.resolution import Resolver
from inbox.connections.directory import Directory
from inbox.connections.service import Channels
from inbox.conversations.service import Conversations
from inbox.delivery.changes import MessageChanges
from inbox.delivery.dispatcher import TOPIC, Dispatcher, Files
from inbox.delivery.recording import Recorder
from inbox.delivery.service import Deliveries
from inbox.delivery.sweeper import Sweeper
from inbox.kernel.database import Database
from inbox.kernel.jobs import Jobs
from inbox.kernel.settings import Settings
from inbox.kernel.wakeup import Wakeup
from inbox.media.attachments import Attachments
from inbox.messages.consequences import Consequences
from inbox.messages.joining import ThreadJoiner


class Parts(Protocol):
    """What the runtime has by then."""

    @property
    def settings(self) -> Settings: ...
    @property
    def node(self) -> str: ...
    @property
    def database(self) -> Database: ...
    @property
    def directory(self) -> Directory: ...
    @property
    def conversations(self) -> Conversations: ...
    @property
    def channels(self) -> Channels: ...
    @property
    def consequences(self) -> Consequences: ...
    @property
    def http(self) -> Http: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def wakeup(self) -> Wakeup: ...


class Delivery:
    """``run`` is for workers; ``service`` and ``changes`` for whoever takes requests."""

    def __init__(self, dispatcher: Dispatcher, sweeper: Sweeper, service: Deliveries, changes: MessageChanges) -> None:
        self.dispatcher = dispatcher
        self.sweeper = sweeper
        self.service = service
        self.changes = changes

    def stop(self) -> None:
        """``run`` ends when what is in the air has ended and is recorded, or took too long."""
        self.sweeper.stop()
        self.dispatcher.stop()

    async def run(self) -> None:
        """Raises what either loop raises: whoever supervises starts both again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.dispatcher.run(), name="dispatcher")
            group.create_task(self.sweeper.run(), name="sweeper")


def build_delivery(parts: Parts, *, files: Files | None = None) -> Delivery:
    settings, database, conversations = parts.settings, parts.database, parts.conversations
    wake = partial(parts.wakeup.publish, TOPIC)
    resolver = Resolver(ThreadJoiner(conversations).join)
    recorder = Recorder(database, resolver, parts.consequences)
    dispatcher = Dispatcher(
        database,
        parts.directory,
        recorder,
        parts.http,
        parts.wakeup,
        node=parts.node,
        send_timeout=settings.send_timeout,
        files=files,
    )
    sweeper = Sweeper(database, wake, uncertain_after=settings.uncertain_after, send_timeout=settings.send_timeout)
    changes = MessageChanges(
        database,
        conversations,
        parts.directory,
        Attachments(parts.jobs),
        parts.channels.health,
        parts.http,
        send_timeout=settings.send_timeout,
    )
    return Delivery(dispatcher, sweeper, Deliveries(database, conversations, wake), changes)
