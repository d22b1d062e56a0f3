"""The loop over a Meta body: every entry, every item, each on its own.

One item that breaks a parser becomes an ``UnsupportedEvent`` with its content, and costs none of its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from channels.inbound import Inbound, UnsupportedEvent
from channels.types import JsonObject, JsonValue
from channels.wire import as_list, kept


def entries(payload: JsonObject) -> Iterator[JsonObject]:
    """The entries of a body, as Meta groups them: any number, of any accounts."""
    for entry in as_list(payload.get("entry")):
        if isinstance(entry, dict):
            yield entry


def misshapen(payload: JsonObject) -> list[Inbound]:
    """What stands where entries should be and is none: kept as unsupported events."""
    found = payload.get("entry")
    if isinstance(found, list):
        return [UnsupportedEvent(None, "entry", kept(entry)) for entry in found if not isinstance(entry, dict)]
    return [UnsupportedEvent(None, "body_without_entries", kept(payload))]


def collect(
    found: list[Inbound],
    account_id: str | None,
    what: str,
    items: JsonValue,
    parse: Callable[[JsonObject], Iterable[Inbound]],
) -> None:
    """Append to ``found`` what ``parse`` makes of each object in ``items``; ``what`` names the kind of item.

    ``parse`` is meant to be total. Should it not be, the fault of one item stays with that item.
    """
    for item in items if isinstance(items, list) else [items]:
        if isinstance(item, dict):
            try:
                found.extend(parse(item))
            except Exception:
                found.append(UnsupportedEvent(account_id, f"{what}:unparsed", kept(item)))
        else:
            found.append(UnsupportedEvent(account_id, what, kept(item)))
