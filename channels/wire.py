"""Reading JSON that nobody promised: every reader answers ``None`` instead of raising, whatever the value is.

What leaves this module can be stored: no NUL, no lone surrogate, no infinity, and (after ``kept``) no nesting that a
JSON writer refuses. ``decode`` is the only function that raises, and it raises nothing but ``Undecodable``.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Final, cast

import orjson

from channels.types import JsonObject, JsonValue

SHORT: Final = 256
"""Characters kept of names, titles, file names and the like."""
LONG: Final = 2048
"""Characters kept of addresses of pages and files, descriptions and provider texts."""
DEEPEST: Final = 48
"""Levels kept of a value that is stored as it came; orjson writes at most 254."""
UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands where a body names no usable time: parsing is pure and has no clock, the receiver knows when it came."""

SCHEMES: Final = frozenset({"http", "https", "mailto", "tel", "tg"})
"""Of links that may be opened, whoever wrote them."""
_AUTHORITY: Final = re.compile(r"[/?#]")

_MILLISECONDS: Final = 100_000_000_000
"""Seconds reach this in the year 5138; anything larger counts milliseconds."""
_LATEST: Final = 253_402_300_799.0


class Undecodable(ValueError):
    """The bytes are not JSON, even read leniently."""


def decode(body: bytes) -> JsonValue:
    """The JSON value of ``body``, free of what cannot be stored. Raises ``Undecodable``.

    Lone surrogates, invalid UTF-8, NaN, huge numbers and raw control characters are what other parsers let through and
    a customer can provoke, so the strict and fast reading is followed by a lenient one before a body is given up.
    """
    try:
        value: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError:
        return kept(_decode_leniently(body))
    # A strict reader yields a NUL only from this escape, so ordinary bodies are not walked again.
    return kept(value) if b"\\u0000" in body else value


def _decode_leniently(body: bytes) -> JsonValue:
    try:
        text = body.decode("utf-8-sig", "replace")
        return cast(JsonValue, json.loads(text, strict=False, parse_int=_integer, parse_constant=_nothing))
    except (ValueError, RecursionError) as error:
        raise Undecodable("the body is not JSON") from error


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 18 else float(digits)


def _nothing(_name: str) -> None:
    return None


def plain(text: str) -> str:
    """``text`` without NUL, with lone surrogates replaced: what PostgreSQL and UTF-8 can hold."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def kept(value: JsonValue, depth: int = DEEPEST) -> JsonValue:
    """A copy of ``value`` that can be stored: strings plain, numbers finite, levels below ``depth`` left out."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): kept(item, depth - 1) for key, item in value.items()} if depth else "…"
    if isinstance(value, list):
        return [kept(item, depth - 1) for item in value] if depth else "…"
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def kept_object(value: JsonValue) -> JsonObject | None:
    """Like ``kept`` for what has to be an object; any other value is put under ``value``, nothing stays ``None``."""
    if value is None:
        return None
    copy = kept(value)
    return copy if isinstance(copy, dict) else {"value": copy}


def undecodable(body: bytes) -> JsonObject:
    """What is salvageable of a body that is not JSON: its size and its beginning."""
    return {"bytes": len(body), "begins": plain(body[:1024].decode("utf-8", "replace"))}


# --- Readers ----------------------------------------------------------------------------------------------------------


def as_object(value: JsonValue) -> JsonObject:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: JsonValue) -> list[JsonValue]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a list; a lone object counts as a list of one, anything else is left out."""
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: JsonValue, most: int | None = None) -> str | None:
    """A string that says something, cut to ``most`` characters. Numbers become their digits, the rest ``None``."""
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        value = str(value)
    if not value:
        return None
    return value if most is None or len(value) <= most else value[:most]


def as_id(value: JsonValue, most: int = 512) -> str | None:
    """An identifier; one that is too long to be one is ``None``, since cut short it would name something else."""
    if not isinstance(value, str):
        return as_text(value)
    return value if 0 < len(value) <= most else None


def as_link(value: JsonValue) -> str | None:
    """A link; cut short it would lead nowhere, so one beyond all reason is ``None``."""
    return as_id(value, 8 * LONG) if isinstance(value, str) else None


def as_page(value: JsonValue) -> str | None:
    """As ``as_link``, of what is shown to be opened: a page, a mail address, a phone number or a Telegram chat.

    Somebody else wrote it, so a link that would run as a script (``javascript:``, ``data:``) is none.
    """
    link = as_link(value)
    return link if link is not None and opens(link) else None


def opens(link: str) -> bool:
    """Whether a browser only goes somewhere with it. Without a scheme it leads to a page."""
    scheme, colon, rest = _AUTHORITY.split(link, maxsplit=1)[0].partition(":")
    if not colon or scheme.lower() in SCHEMES:
        return True
    # ``example.org:8080`` has a port, not a scheme; no scheme that anything runs has a dot.
    return "." in scheme and rest.isdecimal()


def as_number(value: JsonValue) -> float | None:
    """A finite number, also out of a string."""
    if isinstance(value, str):
        if len(value) > 40:
            return None
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_integer(value: JsonValue) -> int | None:
    """A whole number within 64 bits, also out of a string."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else None
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**53 else None


def as_time(value: JsonValue) -> datetime | None:
    """An instant out of seconds or milliseconds (told apart by magnitude), as number or string."""
    number = as_number(value)
    if number is None or number <= 0:
        return None
    if number >= _MILLISECONDS:
        number /= 1000
    return datetime.fromtimestamp(number, UTC) if number <= _LATEST else None
