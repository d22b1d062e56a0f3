"""What of a transaction's events concerns sequences at all: ordinary traffic must cost nothing. Pure."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from contacts import events as contact_events
from contacts.schemas import ContactView, HappenedView, ReachView
from inbox.conversations import events as conversation_events
from inbox.conversations.schemas import ConversationView
from inbox.kernel.eventlog import Event
from inbox.messages import events as message_events
from inbox.messages.events import MessageStatusChanged
from inbox.messages.schemas import AuthorView, MessageView, OriginView
from scheduler.sequences.reacting import KINDS, heard_in

NOW = datetime(2026, 3, 2, tzinfo=UTC)
HERE, ADA, TALK = UUID(int=1), UUID(int=2), UUID(int=3)
View = TypeVar("View")


def make(view: type[View], **given: Any) -> View:
    """With nothing in the fields that are not given."""
    return view(**{one.name: given.get(one.name) for one in fields(view)})  # type: ignore[arg-type]


def conversation(**given: Any) -> ConversationView:
    return make(ConversationView, **{"id": TALK, "contact_id": ADA, "automated": False, **given})


def said(talk: ConversationView) -> Event:
    author = AuthorView("contact")
    message = make(MessageView, id=UUID(int=9), conversation_id=talk.id, direction="in", author=author, created_at=NOW)
    return message_events.created(HERE, message, talk)


def status(origin: OriginView | None) -> Event:
    change = MessageStatusChanged(UUID(int=9), TALK, "sent", NOW, None, origin)
    return message_events.status_changed(HERE, change)


def test_ordinary_traffic_is_not_heard() -> None:
    stranger = make(ContactView, id=ADA)
    ordinary = [
        contact_events.created(HERE, stranger),
        conversation_events.created(HERE, conversation()),
        said(conversation()),
        conversation_events.updated(HERE, conversation(status="closed")),
        status(None),
        status(OriginView("scheduled", UUID(int=7))),
        contact_events.reachability(HERE, make(ReachView, contact_id=ADA, unreachable="kicked")),
    ]
    assert not heard_in(ordinary).events


def test_what_is_tied_new_or_ours_is_heard() -> None:
    tied = conversation(automated=True)
    assert heard_in([said(tied)]).conversations == {TALK: True}
    new = heard_in([conversation_events.created(HERE, conversation()), said(conversation())])
    assert (new.conversations, list(new.contacts), len(new.events)) == ({TALK: False}, [ADA], 2)
    ours = heard_in([status(OriginView("sequence", UUID(int=7)))])
    assert (list(ours.enrollments), ours.told, ours.wide) == ([UUID(int=7)], {TALK}, False)
    happened = contact_events.happened(HERE, HappenedView(ADA, "order", {}, NOW))
    stopped = contact_events.reachability(HERE, make(ReachView, contact_id=ADA, marketing_stopped_at=NOW))
    for event in (happened, stopped, contact_events.updated(HERE, make(ContactView, id=ADA))):
        assert (list(heard_in([event]).contacts), heard_in([event]).wide) == ([ADA], True)


def test_who_became_somebody_else_is_known_as_them() -> None:
    first, second = (contact_events.merged(HERE, make(ContactView, id=UUID(int=n)), UUID(int=n - 1)) for n in (6, 7))
    assert heard_in([first, second]).contact(UUID(int=5)) == UUID(int=7)


def test_every_kind_is_one_of_the_log() -> None:
    known = {*contact_events.EVENTS, *conversation_events.EVENTS, *message_events.EVENTS}
    assert known >= set(KINDS)
