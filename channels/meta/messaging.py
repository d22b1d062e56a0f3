"""The envelope that Messenger and Instagram share: entries, items, who is the account and who the other side.

Every element of a body yields at least one ``Inbound``: what has no reader, or what its reader cannot make sense of,
becomes an ``UnsupportedEvent`` that holds it. One bad element never costs its neighbours (facts 0, 2.1, 3.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Final

import orjson

from channels.inbound import Inbound, UnsupportedEvent
from channels.meta.envelope import collect, entries, misshapen
from channels.types import Address, JsonObject, JsonValue, Person
from channels.wire import SHORT, UNKNOWN_TIME, as_id, as_object, as_text, as_time, kept

_GRANT: Final = re.compile(r"_token$|^authorization_code$")
_AMBIENT: Final = frozenset({"sender", "recipient", "timestamp", "hop_context", "prior_message"})
"""Keys of an item that tell about it but are no event themselves."""


@dataclass(frozen=True, slots=True)
class Item:
    """One element of ``messaging[]`` or ``standby[]``, with what its envelope says about it."""

    account_id: str
    peer: Person | None
    """``None`` where the provider names nobody (``policy_enforcement``, Instagram's announcement of a new message)."""
    occurred_at: datetime
    standby: bool
    raw: JsonObject
    by_business: bool = False
    """The account itself did it, in the provider's own app or through an API."""

    def made_up_id(self, event: str) -> str:
        """An id for what came without one: the same for every redelivery, different for every other event."""
        peer = self.peer.addresses[0].value if self.peer else None
        facts = kept([self.account_id, peer, self.raw.get("timestamp"), event, self.raw.get(event)])
        digest = sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()
        return f"{event}:{digest[:40]}"

    def unsupported(self, what: str) -> UnsupportedEvent:
        return UnsupportedEvent(self.account_id, what, without_grants(kept(self.raw)), self.occurred_at)


Reader = Callable[[Item, JsonObject], Sequence[Inbound]]
"""Reads the value of one event key. An empty answer means that it could make nothing of it."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the two products: how a person is named, and which events there are."""

    address_kind: str
    readers: Mapping[str, Reader]
    ref_kind: str | None = None
    """The address kind of a ``user_ref``, where the product has them."""
    entry_is_account: bool = True
    """Whether ``entry.id`` can be trusted to be the account's. Instagram at times puts the customer's (facts 3.1)."""


def parse_entries(payload: JsonObject, dialect: Dialect) -> list[Inbound]:
    found: list[Inbound] = []
    for entry in entries(payload):
        found += _entry(entry, dialect)
    if "field" in payload:  # the flat form of a change, beside ``entry`` (facts 3.1)
        found += _change(payload, None, None, dialect)
    return found + misshapen(payload) or [UnsupportedEvent(None, "body", kept(payload))]


def _entry(entry: JsonObject, dialect: Dialect) -> list[Inbound]:
    account_id, at = as_id(entry.get("id")), as_time(entry.get("time"))
    found: list[Inbound] = []
    for name in ("messaging", "standby"):
        if name in entry:
            parse = partial(_item, account_id=account_id, at=at, standby=name == "standby", dialect=dialect)
            collect(found, account_id, name, entry[name], parse)
    if "changes" in entry:
        parse = partial(_change, account_id=account_id, at=at, dialect=dialect)
        collect(found, account_id, "changes", entry["changes"], parse)
    if "field" in entry:
        found += _change(entry, account_id, at, dialect)
    return found or [UnsupportedEvent(account_id, "entry", kept(entry), at)]


def _change(change: JsonObject, account_id: str | None, at: datetime | None, dialect: Dialect) -> list[Inbound]:
    """Feed and comment changes are not messaging; the dashboard's test events are items dressed as changes."""
    field, value = as_text(change.get("field"), SHORT) or "change", as_object(change.get("value"))
    if ("sender" in value or "recipient" in value) and not dialect.readers.keys().isdisjoint(value):
        return _item(value, account_id, at, field == "standby", dialect)
    return [UnsupportedEvent(account_id, field, kept(change), at)]


def _item(
    raw: JsonObject, account_id: str | None, at: datetime | None, standby: bool, dialect: Dialect
) -> list[Inbound]:
    """``entry.id`` is now and then the customer's, or "0": the account is who the item says it is (facts 3.1)."""
    ours, theirs = as_object(raw.get("recipient")), as_object(raw.get("sender"))
    ours_sent = dialect.entry_is_account and account_id is not None and as_id(theirs.get("id")) == account_id
    by_business = flag(as_object(raw.get("message")).get("is_echo")) or ours_sent
    if by_business:
        ours, theirs = theirs, ours
    account_id = as_id(ours.get("id")) or account_id
    if account_id is None:
        return [UnsupportedEvent(None, "item", kept(raw), at)]
    occurred_at = as_time(raw.get("timestamp")) or at or UNKNOWN_TIME
    item = Item(account_id, _person(theirs, raw, account_id, dialect), occurred_at, standby, raw, by_business)
    found: list[Inbound] = []
    for key, value in raw.items():
        if key not in _AMBIENT:
            reader = dialect.readers.get(key)
            events = reader(item, value) if reader is not None and isinstance(value, dict) else ()
            found += events or (item.unsupported(key[:SHORT]),)
    return found or [item.unsupported("item")]


def _person(party: JsonObject, raw: JsonObject, account_id: str, dialect: Dialect) -> Person | None:
    value = as_id(party.get("id"))
    if value is not None:
        return Person((Address(dialect.address_kind, account_id, value),))
    if dialect.ref_kind is None:
        return None
    reference = as_id(party.get("user_ref")) or as_id(as_object(raw.get("optin")).get("user_ref"))
    return Person((Address(dialect.ref_kind, account_id, reference),)) if reference else None


def without_grants(value: JsonValue) -> JsonValue:
    """``value`` without what would let its holder act: tokens that allow sending, codes that link an account."""
    if isinstance(value, dict):
        return {key: without_grants(inner) for key, inner in value.items() if not _GRANT.search(key)}
    return [without_grants(inner) for inner in value] if isinstance(value, list) else value


def flag(value: JsonValue) -> bool:
    return value is True or value == "true"
