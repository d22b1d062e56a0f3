"""What the surroundings of an element say about it: whose number, which field, which contacts, when at the latest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from channels.inbound import UnsupportedEvent
from channels.types import JsonObject
from channels.whatsapp.people import Contacts
from channels.wire import UNKNOWN_TIME, as_time, kept


@dataclass(frozen=True, slots=True)
class Scope:
    """Of one change. ``moment`` is the entry's time, which only some fields carry."""

    account_id: str
    field: str
    contacts: Contacts
    moment: datetime | None
    trouble: str | None
    """What the value's own ``errors`` say: they explain a message that came without its content."""

    def time_of(self, item: JsonObject) -> datetime:
        return as_time(item.get("timestamp")) or self.moment or UNKNOWN_TIME

    def unsupported(self, what: str, item: JsonObject) -> UnsupportedEvent:
        return UnsupportedEvent(self.account_id, what, kept(item), as_time(item.get("timestamp")) or self.moment)
