"""From a decoded WhatsApp body to neutral items: every entry, every change, every element, in the order they stand.

Pure and total. What a value holds decides, not the name of the field it came under, since one value may hold several
kinds of things; whatever has no reader becomes an ``UnsupportedEvent``. Channel facts, section 1.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from channels.content import SystemPart
from channels.inbound import (
    ChannelNotice,
    Echo,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    ReactionChanged,
    UnsupportedEvent,
)
from channels.meta.envelope import collect, entries, misshapen
from channels.types import JsonObject, Person
from channels.whatsapp.content import parts_of, referral_of, trouble_of
from channels.whatsapp.identity import now_known_as, of_system_message, system_person, update
from channels.whatsapp.people import Contacts, group_of, named_groups, person_of
from channels.whatsapp.receipts import preference, status
from channels.whatsapp.scope import Scope
from channels.whatsapp.standing import FIELDS, of_field
from channels.wire import SHORT, as_id, as_integer, as_list, as_object, as_text, as_time, kept, objects

OBJECT: Final = "whatsapp_business_account"

_ABOUT_THE_VALUE: Final = frozenset(("messaging_product", "metadata", "contacts"))
"""Keys of a value that describe its other keys."""


def parse(payload: JsonObject) -> list[Inbound]:
    """Every item of a body. Items about one number carry its id as account; account-wide ones the WABA's id."""
    found: list[Inbound] = misshapen(payload) if not isinstance(payload.get("entry"), list) else []
    for entry in entries(payload):
        waba_id = as_id(entry.get("id"))
        changes = entry.get("changes")
        if isinstance(changes, list):
            collect(found, waba_id, "change", changes, partial(_change, entry, waba_id))
        else:
            found.append(UnsupportedEvent(waba_id, "entry_without_changes", kept(entry)))
    return found


def _change(entry: JsonObject, waba_id: str | None, change: JsonObject) -> list[Inbound]:
    field = as_text(change.get("field"), SHORT) or "unnamed"
    value = change.get("value")
    moment = as_time(entry.get("time")) if "time" in entry else None
    number = as_id(as_object(value.get("metadata")).get("phone_number_id")) if isinstance(value, dict) else None
    account_id = number or waba_id
    if not isinstance(value, dict) or account_id is None:
        return [UnsupportedEvent(account_id, field, kept(change), moment)]
    if field in FIELDS:
        said = of_field(account_id, waba_id, field, value, moment)
        return [said, *named_groups(account_id, value, moment)]
    contacts = Contacts(objects(value.get("contacts")), sole_match=len(as_list(value.get("messages"))) == 1)
    trouble = trouble_of(value["errors"]) if "errors" in value else None
    scope = Scope(account_id, field, contacts, moment, trouble)
    found: list[Inbound] = []
    known = False
    for key, content in value.items():
        if key in _ABOUT_THE_VALUE:
            continue
        known = True
        reader = _READERS.get(key)
        if reader is None:
            found.append(UnsupportedEvent(account_id, f"{field}:{key[:SHORT]}", kept(content), moment))
        else:
            collect(found, account_id, f"{field}:{key}", content, partial(reader, scope))
    return found if known else [UnsupportedEvent(account_id, field, kept(value), moment)]


# --- Readers, one a key of a value ------------------------------------------------------------------------------------


def _message(scope: Scope, message: JsonObject) -> list[Inbound]:
    """One element of ``messages``: written by the customer, or by a member of a group."""
    ids = (message.get("from"), message.get("from_user_id"))
    author = person_of(ids, scope.contacts.find(*ids), parent=message.get("from_parent_user_id"))
    group = group_of(message["group_id"]) if "group_id" in message else None
    return _told(scope, message, peer=group or author, author=author if group else None, echo=None)


def _echo(scope: Scope, message: JsonObject) -> list[Inbound]:
    """One element of ``message_echoes``: written by the business in the phone app."""
    ids = (message.get("to"), message.get("to_user_id"))
    person = person_of(ids, scope.contacts.find(*ids), parent=message.get("to_parent_user_id"))
    return _told(scope, message, peer=group_of(message.get("group_id")) or person, author=None, echo=Echo())


def _told(
    scope: Scope, message: JsonObject, *, peer: Person | None, author: Person | None, echo: Echo | None
) -> list[Inbound]:
    kind = as_text(message.get("type"), SHORT) or "untyped"
    found: list[Inbound] = []
    if kind == "system":
        peer = peer or system_person(message)
        change = of_system_message(scope, message, peer) if peer else None
        if peer is not None and change is not None:
            found, peer = [change], now_known_as(peer, change)
    external_id = as_id(message.get("id"))
    if peer is not None and kind in _MEANINGS:
        meant = _MEANINGS[kind](scope, message, peer, author, echo is not None)
        if meant is not None:
            return [meant]
    if peer is None or external_id is None:
        return found or [scope.unsupported(f"message:{kind}", message)]
    context = as_object(message["context"]) if "context" in message else {}
    found.append(
        MessageReceived(
            account_id=scope.account_id,
            external_id=external_id,
            peer=peer,
            parts=parts_of(message, scope.trouble),
            occurred_at=scope.time_of(message),
            author=author,
            reply_to=as_id(context.get("id")) if context else None,
            forwarded=bool(context)
            and (context.get("forwarded") is True or context.get("frequently_forwarded") is True),
            referral=referral_of(message) if context or "referral" in message else None,
            echo=echo,
            standby=scope.field == "standby",
            opens_window=echo is None and kind != "system",
        )
    )
    return found


_Meaning: TypeAlias = Callable[[Scope, JsonObject, Person, Person | None, bool], Inbound | None]
"""Reads a message that is about another message; ``None`` where it does not say about which.

Its arguments: the message, the other side, the author in a group, and whether the business itself did it.
"""


def _reaction(
    scope: Scope, message: JsonObject, peer: Person, author: Person | None, by_business: bool
) -> Inbound | None:
    content = as_object(message.get("reaction"))
    target = as_id(content.get("message_id"))
    if target is None:
        return None
    emoji = as_text(content.get("emoji"), _LONGEST_EMOJI)  # taken back: empty, or no key at all
    when = scope.time_of(message)
    return ReactionChanged(scope.account_id, target, peer, emoji, when, author=author, by_business=by_business)


def _edit(scope: Scope, message: JsonObject, peer: Person, author: Person | None, by_business: bool) -> Inbound | None:
    content = as_object(message.get("edit"))
    target, edited = as_id(content.get("original_message_id")), content.get("message")
    if target is None or not isinstance(edited, dict):
        return None
    when = scope.time_of(message)
    return MessageEdited(scope.account_id, target, peer, parts_of(edited), when, by_business, author)


def _revoke(
    scope: Scope, message: JsonObject, peer: Person, author: Person | None, by_business: bool
) -> Inbound | None:
    target = as_id(as_object(message.get("revoke")).get("original_message_id"))
    if target is None:
        return None
    return MessageUnsent(scope.account_id, target, peer, scope.time_of(message), by_business=by_business)


_LONGEST_EMOJI: Final = 64
_MEANINGS: Final[dict[str, _Meaning]] = {"reaction": _reaction, "edit": _edit, "revoke": _revoke}


def _call(scope: Scope, call: JsonObject) -> list[Inbound]:
    """One element of ``calls``: a notice in the thread. A call of the person opens the window like a message."""
    call_id, event = as_id(call.get("id"), 400), as_text(call.get("event"), 64)
    by_business = call.get("direction") == "BUSINESS_INITIATED"
    side = "to" if by_business else "from"
    ids = (call.get(side), call.get(f"{side}_user_id"))
    peer = person_of(ids, scope.contacts.find(*ids))
    if call_id is None or event is None or peer is None:
        return [scope.unsupported("call", call)]
    return [
        MessageReceived(
            account_id=scope.account_id,
            external_id=f"{call_id}:{event}",  # every event of a call has the call's id
            peer=peer,
            # The session offer holds the credentials of a media stream that nobody here takes up.
            parts=(SystemPart("call", event, as_object(kept({k: v for k, v in call.items() if k != "session"}))),),
            occurred_at=scope.time_of(call),
            echo=Echo() if by_business else None,
            opens_window=not by_business,
        )
    ]


def _error(scope: Scope, error: JsonObject) -> list[Inbound]:
    """One element of a value's own ``errors``: trouble of the number, or of a message that came without content."""
    return [ChannelNotice(scope.account_id, "error", as_object(kept(error)), scope.time_of(error))]


def _history(scope: Scope, chunk: JsonObject) -> list[Inbound]:
    """One element of ``history``: what was said in the phone app before the number was connected here.

    Only that it came is told. These messages are no news: they would open windows, wake bots and count as unread, and
    threads are ordered by acceptance. The owner may have refused to share them; then ``errors`` stand in their place.
    """
    threads = objects(chunk.get("threads"))
    data: JsonObject = {
        "reason": "What was said in the phone app before the number was connected is not imported.",
        "threads": len(threads),
        "messages": sum(len(as_list(thread.get("messages"))) for thread in threads),
        **{key: as_integer(value) for key, value in as_object(chunk.get("metadata")).items() if key in _PROGRESS},
    }
    if trouble := trouble_of(chunk.get("errors")):
        data["refused"] = trouble
    return [ChannelNotice(scope.account_id, "history", data, scope.time_of(chunk))]


_PROGRESS: Final = frozenset(("phase", "chunk_order", "progress"))


def _action(scope: Scope, action: JsonObject) -> list[Inbound]:
    """One element of ``user_actions``, for example a tap on a marketing link. The set of its types is open."""
    name = as_text(action.get("action_type"), SHORT) or as_text(action.get("type"), SHORT) or "unnamed"
    return [scope.unsupported(f"user_action:{name}", action)]


_READERS: Final[dict[str, Callable[[Scope, JsonObject], list[Inbound]]]] = {
    "messages": _message,
    "message_echoes": _echo,
    "statuses": status,
    "errors": _error,
    "user_preferences": preference,
    "user_id_update": update,
    "user_actions": _action,
    "calls": _call,
    "history": _history,
}
