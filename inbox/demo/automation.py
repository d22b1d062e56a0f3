"""Scheduled messages, sequences, bots and blocks as an agent's client knows them. Pure, like the board.

An event carries the whole of its thing, so the news in it is the difference to what was known before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from contacts.schemas import ContactView, ReachView
from inbox.demo.automation_words import (
    Said,
    block_words,
    enrollment_words,
    reach_words,
    run_words,
    scheduled_words,
    unblock_words,
)
from inbox.demo.lines import quoted, words_of_parts
from inbox.messages.set_aside_schemas import SetAsideView
from inbox.realtime.client import ClientEvent
from scheduler.scheduled.schemas import ScheduledView
from scheduler.sequences.schemas import EnrollmentView
from scheduler.workflows.schemas import RunView

CONTACT = TypeAdapter(ContactView)
SCHEDULED = TypeAdapter(ScheduledView)
ENROLLMENT = TypeAdapter(EnrollmentView)
RUN = TypeAdapter(RunView)
SET_ASIDE = TypeAdapter(SetAsideView)
REACH = TypeAdapter(ReachView)


@dataclass(frozen=True, slots=True)
class News:
    """What happened to whom; ``conversation_id`` null: to the contact, wherever we talk with them."""

    said: Said
    contact_id: UUID | None
    conversation_id: UUID | None = None
    channel_id: UUID | None = None


@dataclass(slots=True)
class Automation:
    _scheduled: dict[UUID, ScheduledView] = field(default_factory=dict)
    _enrollments: dict[UUID, EnrollmentView] = field(default_factory=dict)
    _runs: dict[UUID, RunView] = field(default_factory=dict)
    _reach: dict[UUID, ReachView] = field(default_factory=dict)
    _set_aside: Counter[UUID] = field(default_factory=Counter)

    def apply(self, event: ClientEvent, agents: Mapping[UUID, str]) -> list[News]:
        """Kinds that are not ours, or not known, say nothing."""
        data, now = event.data, datetime.fromisoformat(event.at)
        match event.kind:
            case "scheduled_message.created" | "scheduled_message.updated":
                return self._scheduled_message(SCHEDULED.validate_python(data["scheduled_message"]), now)
            case "enrollment.created" | "enrollment.updated":
                return self._enrollment(ENROLLMENT.validate_python(data["enrollment"]), now)
            case "workflow.created" | "workflow.updated":
                return self._run(RUN.validate_python(data["run"]), agents)
            case "contact.blocked":
                return self._blocked(CONTACT.validate_python(data["contact"]), agents, now)
            case "contact.unblocked":
                contact_id = UUID(data["contact"]["id"])
                said = unblock_words(expired=data["expired"], set_aside=self._set_aside.pop(contact_id, 0))
                return [News(said, contact_id)]
            case "set_aside.created":
                return self._aside(SET_ASIDE.validate_python(data["set_aside"]))
            case "contact.reachability":
                reach = REACH.validate_python(data["reach"])
                before, self._reach[reach.identity_id] = self._reach.get(reach.identity_id), reach
                return _news(reach_words(reach, before), reach.contact_id)
            case "sequence.updated" | "bot.created":
                return _made(event.kind, data)
        return []

    def _scheduled_message(self, view: ScheduledView, now: datetime) -> list[News]:
        before, self._scheduled[view.id] = self._scheduled.get(view.id), view
        return _news(scheduled_words(view, before, now), view.contact_id, view.conversation_id)

    def _enrollment(self, view: EnrollmentView, now: datetime) -> list[News]:
        before, self._enrollments[view.id] = self._enrollments.get(view.id), view
        told = enrollment_words(view, before, now)
        return [News(said, view.contact_id, view.conversation_id) for said in told]

    def _run(self, run: RunView, agents: Mapping[UUID, str]) -> list[News]:
        before, self._runs[run.id] = self._runs.get(run.id), run
        return _news(run_words(run, before, agents.get(run.bot_id, "of somebody")), None, run.conversation_id)

    def _blocked(self, contact: ContactView, agents: Mapping[UUID, str], now: datetime) -> list[News]:
        if contact.blocked is None:
            return []
        by = contact.blocked.by
        who = "the product" if by is None else agents.get(by, "somebody")
        return [News(block_words(contact.blocked, who, now), contact.id)]

    def _aside(self, aside: SetAsideView) -> list[News]:
        self._set_aside[aside.contact_id] += 1
        words, count = quoted(words_of_parts(aside.parts)), self._set_aside[aside.contact_id]
        said: Said = f"set aside, for supervisors alone ({count} so far): {words}", "auto"
        return [News(said, aside.contact_id, channel_id=aside.channel_id)]


def _news(said: Said | None, contact_id: UUID | None, conversation_id: UUID | None = None) -> list[News]:
    return [] if said is None else [News(said, contact_id, conversation_id)]


def _made(kind: str, data: Mapping[str, Any]) -> list[News]:
    """What everybody may use from now on."""
    if kind == "bot.created":
        return [News((f"the bot {quoted(data['bot']['name'])} was added ({data['bot']['mode']})", "auto"), None)]
    sequence = data["sequence"]
    if sequence["state"] != "active" or sequence["changed"]:
        return []
    words = f"the sequence {quoted(sequence['name'])} is in force, version {sequence['published']}"
    return [News((words, "auto"), None)]
