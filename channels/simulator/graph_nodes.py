"""Reading of Graph nodes and edges: fields that were asked for, and pages of a list by cursors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from urllib.parse import urlencode

from channels.simulator.graph_errors import GraphError, bad
from channels.simulator.wire import as_number, as_text
from channels.types import JsonObject, JsonValue

PAGE_SIZE, LARGEST_PAGE = 25, 1000


def asked_fields(fields: JsonObject) -> list[str]:
    """Top-level names in ``fields``; what stands in braces belongs to a node below."""
    names, depth, name = [], 0, ""
    for letter in (as_text(fields.get("fields")) or "") + ",":
        if letter == "," and depth == 0:
            names.append(name.strip())
            name = ""
            continue
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0 and letter not in "{}":
            name += letter
    return [name for name in names if name]


def select(known: JsonObject, fields: JsonObject, node_type: str, default: Collection[str]) -> JsonObject:
    """The fields that were asked for, or the ones that come unasked; ``id`` always. An unknown one is refused."""
    asked = asked_fields(fields)
    for name in asked:
        if name not in known:
            raise GraphError(
                100, f"(#100) Tried accessing nonexisting field ({name}) on node type ({node_type})",
                kind="OAuthException",
            )  # fmt: skip
    shown = {name: known[name] for name in asked or default if name in known}
    return shown | ({"id": known["id"]} if "id" in known else {})


def page_of(items: list[JsonValue], fields: JsonObject, url: str) -> JsonObject:
    """One page. Cursors are opaque; ``next`` is there while something follows, and keeps the filters."""
    limit = min(max(int(as_number(fields.get("limit")) or PAGE_SIZE), 1), LARGEST_PAGE)
    start, end = 0, len(items)
    if (after := as_text(fields.get("after"))) is not None:
        start = _place(after)
    elif (before := as_text(fields.get("before"))) is not None:
        end = max(_place(before) - 1, 0)
        start = max(end - limit, 0)
    chosen = items[start : min(start + limit, end)]
    if not chosen:
        return {"data": []}
    after_last = start + len(chosen)
    paging: JsonObject = {"cursors": {"before": _cursor(start + 1), "after": _cursor(after_last)}}
    filters = {name: str(value) for name, value in fields.items() if name not in ("limit", "after", "before")}
    query = {**filters, "limit": str(limit)}
    if after_last < len(items):
        paging["next"] = f"{url}?{urlencode({**query, 'after': _cursor(after_last)})}"
    if start > 0:
        paging["previous"] = f"{url}?{urlencode({**query, 'before': _cursor(start + 1)})}"
    return {"data": chosen, "paging": paging}


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"QVFI{place}".encode()).decode("ascii")


def _place(cursor: str) -> int:
    try:
        plain = base64.urlsafe_b64decode(cursor.encode()).decode("ascii")
    except (binascii.Error, UnicodeError):
        plain = ""
    number = plain.removeprefix("QVFI")
    if not number.isdecimal():
        raise bad("Invalid cursors values: after Cursor specified exceeds the max limit supported by this endpoint")
    return int(number)
