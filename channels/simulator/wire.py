"""JSON as it crosses the wire: tolerant reading, provider-like writing, and ids that never repeat after a restart."""

from __future__ import annotations

import base64
import json
import secrets

import orjson

from channels.types import JsonObject, JsonValue

# --- Reading ----------------------------------------------------------------------------------------------------------


def as_object(value: JsonValue) -> JsonObject:
    """The object, or an empty one: what is absent and what has the wrong type are refused alike by the providers."""
    return value if isinstance(value, dict) else {}


def as_list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def as_text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def as_number(value: JsonValue) -> float | None:
    """Numbers, and numbers written as text, which forms and lenient clients send."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def parse_object(body: bytes) -> JsonObject | None:
    try:
        value: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def parse_nested(value: str) -> JsonValue:
    """Forms carry objects and lists as JSON text."""
    if value[:1] in ("{", "["):
        try:
            parsed: JsonValue = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        return parsed
    return value


# --- Writing ----------------------------------------------------------------------------------------------------------


def meta_json(value: JsonObject) -> bytes:
    """Meta escapes non-ASCII as ``\\u00e4`` (lower case) and slashes as ``\\/``: a re-dump never matches (facts, 0)."""
    compact = orjson.dumps(value)
    if not compact.isascii():
        compact = json.dumps(value, separators=(",", ":")).encode("ascii")
    return compact.replace(b"/", b"\\/")


def plain_json(value: JsonValue) -> bytes:
    return orjson.dumps(value)


# --- Ids --------------------------------------------------------------------------------------------------------------


def digits_id(length: int) -> str:
    return str(secrets.randbelow(9 * 10 ** (length - 1)) + 10 ** (length - 1))


def whatsapp_message_id(peer: str) -> str:
    raw = b"\x1c\x18" + peer.encode()[:40] + b"\x15\x02\x00" + secrets.token_bytes(12)
    return "wamid." + base64.b64encode(raw).decode("ascii")


def messenger_message_id() -> str:
    return "m_" + secrets.token_urlsafe(48)


def instagram_message_id() -> str:
    """Base64 of digits, which never has a slash: the id is a node of the Graph API too."""
    return "aWdfZAG1faXRlbToxOkln" + base64.b64encode(digits_id(48).encode()).decode("ascii")


def trace_id() -> str:
    return "A" + secrets.token_urlsafe(16)
