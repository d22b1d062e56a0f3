"""One webhook request: what it tells, in which queue it stands, and how its provider would post it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Literal

from channels.simulator import wire
from channels.simulator.world import Account
from channels.types import JsonObject, JsonValue

Part = Literal["changes", "messaging", "standby", "entry", "update"]
"""``entry``: beside the entry's id, in no list (Instagram Login's comments)."""
LaneKey = tuple[str, str]
"""Account, and a queue of it. Only what stands in one queue arrives in order."""

META_OBJECTS = {"whatsapp": "whatsapp_business_account", "messenger": "page", "instagram": "instagram"}


@dataclass(slots=True, eq=False)
class Event:
    account: Account
    customer_id: str
    kind: str
    """For people and tests: message, status, echo, read, …"""
    item: JsonObject
    """An element of ``entry[].changes``/``messaging``/``standby``, or a Telegram update."""
    part: Part
    receipt: bool = False


@dataclass(slots=True, eq=False)
class Post:
    """One webhook request and what became of it."""

    id: int
    events: tuple[Event, ...]
    lane: LaneKey
    born: float
    forged: bool = False
    body: bytes | None = None
    state: Literal["pending", "delivered", "failed", "withdrawn"] = "pending"
    attempts: list[str] = field(default_factory=list)
    """HTTP status or name of the transport error, one per attempt."""
    tried: float = 0.0
    """When the last attempt began."""
    retry_after: float | None = None
    merged: bool = False
    """Its events share entries and values as far as they can (Meta)."""

    @property
    def account(self) -> Account:
        return self.events[0].account

    def describe(self) -> JsonObject:
        return {
            "id": self.id,
            "account_id": self.account.account_id,
            "customer": self.events[0].customer_id,
            "kinds": [event.kind for event in self.events],
            "state": self.state,
            "attempts": list[JsonValue](self.attempts),
        }


_CHAT = frozenset({"message", "edited_message", "channel_post", "edited_channel_post", "raw"})


def lane_of(event: Event) -> LaneKey:
    """Telegram orders only messages and their edits by chat: a tap or a reaction may overtake them (facts, 4.1)."""
    account = event.account
    if account.kind != "telegram" or event.kind in _CHAT:
        return account.account_id, event.customer_id
    if "business_message" in event.kind:
        return account.account_id, f"business {event.customer_id}"
    return account.account_id, f"{event.kind} {event.customer_id}"


def body_of(post: Post, now: float) -> bytes:
    if post.account.kind == "telegram":
        return wire.plain_json(post.events[0].item)
    entries: list[JsonValue] = []
    for event in post.events:
        account = event.account
        entry: JsonObject = {"id": account.waba_id if account.kind == "whatsapp" else account.account_id}
        if account.kind != "whatsapp":
            entry["time"] = int(now * 1000)
        elif not event.customer_id:
            entry["time"] = int(now)  # of what is about the account, and of nothing else
        if event.part == "entry":
            entry |= event.item
        else:
            entry[event.part] = [event.item]
        entries.append(entry)
    if post.merged:
        entries = _merged(entries)
    return wire.meta_json({"object": META_OBJECTS[post.account.kind], "entry": entries})


def _merged(entries: list[JsonValue]) -> list[JsonValue]:
    """One entry for each account, in it one list for each part, and one value of messages, statuses and contacts."""
    found: dict[str, JsonObject] = {}
    apart: list[JsonValue] = []
    for entry in map(wire.as_object, entries):
        if "field" in entry:
            apart.append(entry)
            continue
        known = found.setdefault(str(entry["id"]), {})
        for key, value in entry.items():
            known[key] = [*wire.as_list(known.get(key)), *value] if isinstance(value, list) else value
    for entry in found.values():
        if "changes" in entry:
            entry["changes"] = _merged_changes([wire.as_object(change) for change in wire.as_list(entry["changes"])])
    return [*found.values(), *apart]


def _merged_changes(changes: list[JsonObject]) -> list[JsonValue]:
    found: dict[bytes, JsonObject] = {}
    for change in changes:
        value = wire.as_object(change.get("value"))
        key = wire.plain_json([change.get("field"), value.get("metadata") or len(found)])
        known = found.setdefault(key, {**change, "value": {}})
        whole = wire.as_object(known["value"])
        for name, part in value.items():
            fresh = (
                [each for each in part if each not in wire.as_list(whole.get(name))] if isinstance(part, list) else []
            )
            whole[name] = [*wire.as_list(whole.get(name)), *fresh] if isinstance(part, list) else part
    return [*found.values()]


def headers_of(account: Account, body: bytes, forged: bool) -> dict[str, str]:
    secret = (account.secret or "") + ("-forged" if forged else "")
    if account.kind == "telegram":
        headers = {"Content-Type": "application/json"}
        if secret:
            headers["X-Telegram-Bot-Api-Secret-Token"] = secret
        return headers
    return {
        "Content-Type": "application/json",
        "User-Agent": "facebookexternalua",
        "X-Hub-Signature-256": "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex(),
    }
