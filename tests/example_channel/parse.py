"""Webhook bodies to neutral items. Pure and total: whatever stands in a body, everything else in it still counts."""

from __future__ import annotations

from typing import Final

from channels.content import ChoicePart, MediaPart, MediaRef, Part, TextPart, UnsupportedPart
from channels.inbound import DeliveryStatus, Echo, Inbound, MessageReceived, StatusReported, UnsupportedEvent
from channels.types import Address, JsonObject, Person
from channels.wire import (
    SHORT,
    UNKNOWN_TIME,
    Undecodable,
    as_id,
    as_integer,
    as_object,
    as_text,
    as_time,
    decode,
    kept,
    kept_object,
    objects,
    undecodable,
)

USER: Final = "pigeon_user"
_STATUSES: Final[dict[str, DeliveryStatus]] = {"delivered": "delivered", "read": "read"}


def parse(body: bytes) -> list[Inbound]:
    try:
        payload = decode(body)
    except Undecodable:
        return [UnsupportedEvent(None, "body_not_json", undecodable(body))]
    # Every body names its account: one endpoint may serve several.
    account_id = as_id(as_object(payload).get("loft"))
    events = objects(as_object(payload).get("events"))
    if account_id is None or not events:
        return [UnsupportedEvent(account_id, "no_events", kept(payload))]
    return [_read_event(account_id, event) for event in events]


def _read_event(account_id: str, event: JsonObject) -> Inbound:
    what = as_text(event.get("type"), SHORT) or "event"
    message = as_object(event.get("message"))
    external_id, peer = as_id(message.get("id")), _read_person(as_object(event.get("person")))
    at = as_time(event.get("at")) or UNKNOWN_TIME
    if external_id is not None and what in _STATUSES:
        status = _STATUSES[what]
        return StatusReported(account_id, external_id, status, at, correlation=_reference(message), peer=peer)
    if external_id is not None and peer is not None and what in ("message", "echo"):
        echo = Echo(correlation=_reference(message)) if what == "echo" else None
        return MessageReceived(
            account_id=account_id,
            external_id=external_id,
            peer=peer,
            parts=_read_parts(message),
            occurred_at=at,
            reply_to=as_id(message.get("quotes")),
            echo=echo,
            opens_window=echo is None,
        )
    return UnsupportedEvent(account_id, what, kept(event), as_time(event.get("at")))


def _read_person(person: JsonObject) -> Person | None:
    user_id = as_id(person.get("id"))
    return None if user_id is None else Person((Address(USER, "", user_id),), as_text(person.get("name"), SHORT))


def _reference(message: JsonObject) -> str | None:
    return as_id(message.get("reference"), 64)


def _read_parts(message: JsonObject) -> tuple[Part, ...]:
    """Never empty."""
    text, tapped, file_id = as_text(message.get("text")), message.get("tapped"), as_id(message.get("file"))
    if file_id is not None:
        size = as_integer(message.get("size"))
        file = MediaRef(file_id, mime_type=as_text(message.get("mime_type"), SHORT), size=size)
        return (MediaPart("image", file, text),)
    if isinstance(tapped, str) and tapped:
        return (ChoicePart("button", tapped, text),)
    if text is not None:
        return (TextPart(text),)
    kind = as_text(message.get("kind"), SHORT) or "message"
    return (UnsupportedPart(kind, "Not a kind of message we know.", kept_object(message)),)
