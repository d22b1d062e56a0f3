"""What a program sees, and when a bot may take a conversation: the rules alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args
from uuid import UUID, uuid4

import pytest

from inbox.agents.principal import PERMISSIONS, Principal
from inbox.conversations.repository import Thread
from inbox.kernel.eventlog import EVERYONE, SUPERVISORS, StoredEvent
from inbox.messages.responders import begins
from inbox.realtime.protocol import EncodedEvent, Filter
from inbox.realtime.session import View
from scheduler.workflows.following import taken_away
from scheduler.workflows.leases import WORDS
from scheduler.workflows.repository import Run
from scheduler.workflows.schemas import RunReason

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORKSPACE, BOT = uuid4(), uuid4()


def program(agent_id: UUID = BOT) -> Principal:
    return Principal(WORKSPACE, agent_id, "Helper", "bot", uuid4())


SEEN: list[tuple[str, int, UUID | None, bool]] = [
    ("what it held", EVERYONE, BOT, True),
    ("what another bot held", EVERYONE, uuid4(), False),
    ("what nobody held", EVERYONE, None, False),
    ("what is for supervisors", SUPERVISORS, BOT, False),
]


@pytest.mark.parametrize(("audience", "holder", "sees"), [pytest.param(*row[1:], id=row[0]) for row in SEEN])
def test_a_program_sees_what_it_held_everywhere_alike(audience: int, holder: UUID | None, sees: bool) -> None:
    conversation_id = uuid4()
    event = EncodedEvent(StoredEvent(WORKSPACE, 1, NOW, "message.created", "{}", conversation_id, audience, holder))
    assert program().sees(audience, holder) is sees
    for wanted in (None, Filter(kinds=frozenset({"message.created"}))):
        view = View.of(program(), wanted)
        assert view.shows(event) is sees
        assert not view.concerns(conversation_id), "nothing of who types and looks"


def test_people_see_what_bots_hold() -> None:
    ada = replace(program(), role="agent")
    assert ada.sees(EVERYONE, BOT)
    assert not ada.sees(SUPERVISORS, BOT)


def test_a_bot_may_do_little() -> None:
    assert PERMISSIONS["bot"] == {"conversations.read", "messages.send", "conversations.handoff", "stream"}


def thread(**given: object) -> Thread:
    fields: dict[str, object] = dict.fromkeys(Thread.__dataclass_fields__)
    fields |= {"id": uuid4(), "status": "open", "epoch": 1, "inbound_count": 0, "run_paused": False}
    return Thread(**{**fields, **given})  # type: ignore[arg-type]


BEGINS: list[tuple[str, dict[str, object], bool]] = [
    ("the first message ever", {}, True),
    ("the second", {"inbound_count": 1}, False),
    ("a person has written before", {"epoch": 2}, False),
    ("closed before", {"status": "closed", "inbound_count": 9, "epoch": 5}, True),
    ("closed, but somebody's", {"status": "closed", "assignee_id": uuid4()}, False),
    ("put off", {"status": "snoozed", "inbound_count": 3}, False),
    ("a bot has it", {"status": "pending", "bot_id": BOT, "run_id": uuid4()}, False),
    ("a paused bot", {"status": "closed", "bot_id": BOT, "run_id": uuid4(), "run_paused": True}, False),
]


@pytest.mark.parametrize(("given", "expected"), [pytest.param(*row[1:], id=row[0]) for row in BEGINS])
def test_when_a_conversation_begins_with_nobody_in_particular(given: dict[str, object], expected: bool) -> None:
    assert begins(thread(**given)) is expected


def run(state: str = "active", reason: str | None = None) -> Run:
    fields: dict[str, object] = dict.fromkeys(Run.__dataclass_fields__)
    return Run(**{**fields, "state": state, "reason": reason})  # type: ignore[arg-type]


TAKEN: list[tuple[str, Run, dict[str, object], RunReason | None]] = [
    ("still its turn", run(), {"status": "pending"}, None),
    ("closed", run(), {"status": "closed"}, "closed"),
    ("put off", run(), {"status": "snoozed"}, "closed"),
    ("opened by a person", run(), {"status": "open"}, "reopened"),
    ("somebody's now", run(), {"status": "pending", "assignee_id": uuid4()}, "assigned"),
    ("paused, and open", run("paused", "by_hand"), {"status": "open"}, None),
    ("paused, and assigned", run("paused", "by_hand"), {"assignee_id": uuid4()}, None),
    ("paused, and closed", run("paused", "by_hand"), {"status": "closed"}, "closed"),
    ("paused by a block", run("paused", "blocked"), {"status": "closed"}, None),
]


@pytest.mark.parametrize(("held", "given", "reason"), [pytest.param(*row[1:], id=row[0]) for row in TAKEN])
def test_what_takes_a_conversation_from_a_bot(held: Run, given: dict[str, object], reason: RunReason | None) -> None:
    cause = taken_away(thread(**given), held)
    assert (None if cause is None else cause.reason) == reason


def test_every_reason_has_words_for_who_comes_late() -> None:
    assert set(WORDS) == set(get_args(RunReason))
