"""Reading the fields of a call to the Cloud API: absent ones and wrong types are refused as WhatsApp does."""

from __future__ import annotations

from channels.simulator.graph_errors import bad, missing
from channels.types import JsonObject


def text_field(holder: JsonObject, key: str, path: str, limit: int, *, required: bool = True) -> str | None:
    value = holder.get(key)
    if value is None or value == "":
        if required:
            raise missing(path)
        return None
    if not isinstance(value, str):
        raise bad(f"Param {path} must be a string.")
    if len(value) > limit:
        raise bad(f"Param {path} must be at most {limit} characters long.")
    return value


def body_of(fields: JsonObject, kind: str) -> JsonObject:
    body = fields.get(kind)
    if body is None:
        raise missing(kind)
    if not isinstance(body, dict):
        raise bad(f"Param {kind} must be a JSON object.")
    return body
