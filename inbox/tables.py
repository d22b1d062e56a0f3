"""Imports every models module, so that ``metadata`` is whole for Alembic and for tests."""

from __future__ import annotations

import contacts.models
import inbox.agents.models
import inbox.audit.models
import inbox.blocking.models
import inbox.connections.models
import inbox.conversations.models
import inbox.delivery.models
import inbox.ingest.models
import inbox.kernel.eventlog
import inbox.kernel.jobs
import inbox.kernel.keys
import inbox.kernel.timers
import inbox.media.models
import inbox.messages.models
import inbox.subscriptions.models
import inbox.templates.models
import scheduler.scheduled.models
import scheduler.sequences.models
import scheduler.workflows.models
from inbox.kernel.schema import metadata

MODULES = (
    contacts.models,
    inbox.agents.models,
    inbox.audit.models,
    inbox.blocking.models,
    inbox.connections.models,
    inbox.conversations.models,
    inbox.delivery.models,
    inbox.ingest.models,
    inbox.kernel.eventlog,
    inbox.kernel.jobs,
    inbox.kernel.keys,
    inbox.kernel.timers,
    inbox.media.models,
    inbox.messages.models,
    inbox.subscriptions.models,
    inbox.templates.models,
    scheduler.scheduled.models,
    scheduler.sequences.models,
    scheduler.workflows.models,
)

__all__ = ["MODULES", "metadata"]
