"""A snapshot and events become lines that a person reads, each once, and safe to print."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from inbox.demo.board import PAGE, Board
from inbox.demo.lines import Line, rendered, safe, words_of
from inbox.realtime.client import ClientEvent

AT = "2026-11-22T10:00:00+00:00"
ME, OTHER = UUID(int=1), UUID(int=2)
CHANNEL, CONTACT, THREAD = UUID(int=10), UUID(int=20), UUID(int=30)
MESSAGE = UUID(int=40)


def contact(**fields: Any) -> dict[str, Any]:
    return {
        "id": str(CONTACT), "name": "Ann", "first_name": None, "last_name": None, "email": None, "phone": None,
        "language": None, "time_zone": None, "avatar_url": None, "custom": {}, "tags": [],
        "version": 1, "blocked": None, "merged_into": None, "created_at": AT, "updated_at": None, **fields,
    }  # fmt: skip


def conversation(**fields: Any) -> dict[str, Any]:
    return {
        "id": str(THREAD), "channel_id": str(CHANNEL), "contact_id": str(CONTACT), "status": "open",
        "assignee_id": None, "priority": 0, "last_number": 1, "inbound_count": 1, "last_message_at": AT,
        "last_message_preview": "Hi", "last_message_direction": "in", "window_expires_at": None, "version": 1,
        "responder": None, "responder_epoch": 1, "automated": False, "created_at": AT, "updated_at": None, **fields,
    }  # fmt: skip


def message(**fields: Any) -> dict[str, Any]:
    return {
        "id": str(MESSAGE), "conversation_id": str(THREAD), "channel_id": str(CHANNEL), "number": 1, "direction": "in",
        "author": {"kind": "contact"}, "parts": [{"type": "text", "text": "Hi"}], "status": None, "status_at": None,
        "fault": None, "reply_to_id": None, "forwarded": False, "referral": None, "album": None, "reactions": [],
        "client_token": None, "versions": 1, "occurred_at": AT, "created_at": AT, "edited_at": None,
        "unsent_at": None, "origin": None, **fields,
    }  # fmt: skip


def event(kind: str, **data: Any) -> ClientEvent:
    return ClientEvent(1, kind, AT, THREAD, data)


@pytest.fixture
def board() -> Board:
    made = Board(me=ME, channels={CHANNEL: ("whatsapp", "Shop")}, agents={ME: "Maya", OTHER: "Sam"})
    page = {
        "epoch": str(UUID(int=9)), "position": 1, "items": [conversation()], "contacts": [contact()],
        "unread": {str(THREAD): 1}, "next": None,
    }  # fmt: skip
    made.load(PAGE.validate_python(page))
    return made


def texts(lines: list[Line]) -> list[str]:
    return [f"{line.who}|{line.text}" for line in lines]


def test_a_message_of_a_customer(board: Board) -> None:
    lines = board.apply(event("message.created", message=message(), conversation=conversation(last_number=2)))

    assert lines == [Line(AT, 1, "whatsapp", "Ann", "Hi", "in")]
    assert board.recent(5)[0].unread == 2


@pytest.mark.parametrize(
    ("author", "who"),
    [
        ({"kind": "agent", "id": str(ME), "name": "Maya"}, "you → Ann"),
        ({"kind": "agent", "id": str(OTHER), "name": "Sam"}, "Sam → Ann"),
        ({"kind": "native_app"}, "the provider's app → Ann"),
    ],
)
def test_our_own_messages_and_their_receipts(board: Board, author: dict[str, str], who: str) -> None:
    sent = message(direction="out", author=author, status="queued")
    assert texts(board.apply(event("message.created", message=sent, conversation=conversation()))) == [f"{who}|Hi"]

    def status(value: str, fault: object = None) -> list[str]:
        data = {"message_id": str(MESSAGE), "conversation_id": str(THREAD), "status": value, "fault": fault}
        return [line.text for line in board.apply(event("message.status", status_at=AT, **data))]

    assert status("sending") == []
    assert status("sent") == ["✓ sent “Hi”"]
    assert status("read") == ["✓✓ read “Hi”"]
    assert status("failed", {"reason": "The number is not on WhatsApp"}) == [
        "✗ failed “Hi”: The number is not on WhatsApp"
    ]
    failed = board.last_failed(THREAD)
    assert failed is not None
    assert failed.id == MESSAGE


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"versions": 2, "parts": [{"type": "text", "text": "Hello"}]}, "edited: Hello"),
        ({"unsent_at": AT, "parts": []}, "took back “Hi”"),
        ({"reactions": [{"actor": "Ann", "emoji": "👍"}]}, "👍 on “Hi”"),
        ({"reply_to_id": str(UUID(int=41))}, None),
    ],
)
def test_a_message_changes(board: Board, change: dict[str, Any], text: str | None) -> None:
    board.apply(event("message.created", message=message(), conversation=conversation()))

    lines = board.apply(event("message.updated", message=message(**change)))

    assert [line.text for line in lines] == ([] if text is None else [text])


def test_only_what_changed_is_said(board: Board) -> None:
    same = board.apply(event("conversation.updated", conversation=conversation(version=2)))
    both = board.apply(event("conversation.updated", conversation=conversation(status="closed", assignee_id=str(ME))))

    assert same == []
    assert [line.text for line in both] == ["is closed now", "is assigned to you now"]


def test_what_others_do_is_shown_and_what_we_do_is_not(board: Board) -> None:
    def typing(agent_id: UUID, on: bool) -> dict[str, Any]:
        return {
            "type": "ephemeral",
            "kind": "typing",
            "agent_id": str(agent_id),
            "conversation_id": str(THREAD),
            "on": on,
        }

    assert [line.text for line in board.notice(typing(OTHER, True))] == ["Sam is typing …"]
    assert board.notice(typing(OTHER, False)) == []
    assert board.notice(typing(ME, True)) == []
    assert board.notice({"type": "hello", "agent_id": str(OTHER)}) == []


def test_a_contact_that_the_snapshot_did_not_hold_is_asked_for(board: Board) -> None:
    stranger = str(UUID(int=21))

    known = event("message.created", message=message(), conversation=conversation())
    unknown = event("message.created", message=message(), conversation=conversation(contact_id=stranger))

    assert board.unknown_contact(known) is None
    assert board.unknown_contact(unknown) == UUID(stranger)
    assert board.unknown_contact(event("contact.created", contact=contact())) is None


@pytest.mark.parametrize("kind", ["something.new", "channel.deleted", "agent.created"])
def test_events_of_a_newer_server_are_passed_over(board: Board, kind: str) -> None:
    data = {"agent": {"id": str(OTHER), "name": "Samuel"}}

    assert board.apply(event(kind, **data)) == []


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image", "caption": "This one"}, "[image] This one"),
        ({"type": "document", "media": {"filename": "bill.pdf"}}, "[document] bill.pdf"),
        ({"type": "voice", "media": None}, "[voice]"),
        ({"type": "location", "latitude": 1.5, "longitude": 2.5, "name": None}, "[location] 1.5, 2.5"),
        ({"type": "contacts", "cards": [{"name": "Bo"}, {"name": None}]}, "[contact] Bo, ?"),
        ({"type": "choice", "title": None, "payload": "YES"}, "[tapped] YES"),
        ({"type": "unsupported", "what": "poll"}, "[unsupported: poll]"),
        ({"type": "hologram"}, "[hologram]"),
    ],
)
def test_every_kind_of_part_has_words(board: Board, part: dict[str, Any], words: str) -> None:
    lines = board.apply(event("message.created", message=message(parts=[part]), conversation=conversation()))

    assert lines[0].text == words


def test_nothing_a_customer_writes_reaches_the_terminal_as_a_command(board: Board) -> None:
    evil = "a\x1b]0;owned\x07b\r\nc\x9b31md\u202ee\ud800"
    board.contacts.clear()
    named = contact(name=evil)
    board.apply(event("contact.created", contact=named))

    (line,) = board.apply(
        event("message.created", message=message(parts=[{"type": "text", "text": evil}]), conversation=conversation())
    )

    shown = rendered(line, colour=False)
    assert shown == safe(shown)
    assert "a ]0;owned b c 31md e" in shown
    assert "\x1b" not in shown
    assert "\n" not in rendered(line, colour=True)


def test_words_of_several_parts() -> None:
    board = Board()
    parts = [{"type": "text", "text": "one"}, {"type": "image"}]
    board.apply(event("message.created", message=message(parts=parts), conversation=conversation()))

    assert [words_of(each) for each in board._messages.values()] == ["one · [image]"]


def test_a_name_and_what_happens_by_itself_are_kept_apart() -> None:
    assert rendered(Line(AT, 1, "whatsapp", "Ann", "held back", "auto"), colour=False).endswith("Ann · held back")
