"""Template definitions out of ``GET /{WABA}/message_templates`` (channel facts, section 1.4).

Total: a definition of a kind nobody taught us is listed as well, and says what of it cannot be filled.
"""

from __future__ import annotations

from typing import Final, Literal

from channels.templates import Template, TemplateButton, TemplateHeader, TemplateStatus
from channels.types import JsonObject, JsonValue
from channels.wire import LONG, SHORT, as_id, as_link, as_object, as_text, objects

LISTED_FIELDS: Final = "id,name,language,status,category,parameter_format,components,quality_score,rejected_reason"

STATUSES: Final[dict[str, TemplateStatus]] = {
    "APPROVED": "approved",
    "PENDING": "pending",
    "IN_APPEAL": "pending",
    "REJECTED": "rejected",
    "PAUSED": "paused",
    "DISABLED": "disabled",
}

_BUTTONS: Final[dict[str, Literal["quick_reply", "url", "phone", "copy_code", "flow"]]] = {
    "QUICK_REPLY": "quick_reply",
    "URL": "url",
    "PHONE_NUMBER": "phone",
    "COPY_CODE": "copy_code",
    "FLOW": "flow",
    # The button of a one-time code is sent as a link whose only gap is the code.
    "OTP": "url",
}
_HEADERS: Final[dict[str, Literal["text", "image", "video", "document", "location"]]] = {
    "TEXT": "text",
    "IMAGE": "image",
    "VIDEO": "video",
    "DOCUMENT": "document",
    "LOCATION": "location",
}
_HARMLESS: Final = frozenset(("CALL_PERMISSION_REQUEST",))
"""Components that take no values."""
_NEEDY: Final = frozenset(("MPM", "SPM", "ORDER_DETAILS"))
"""Buttons that need products or an order."""


def definition(item: JsonObject) -> Template | None:
    """One element of the listing; ``None`` where it does not say which template it is."""
    external_id, name, language = as_id(item.get("id")), as_id(item.get("name")), as_id(item.get("language"), SHORT)
    if external_id is None or name is None or language is None:
        return None
    header, body, footer = None, "", None
    buttons: list[TemplateButton] = []
    unfillable: str | None = None
    for component in objects(item.get("components")):
        kind = (as_text(component.get("type"), SHORT) or "").upper()
        text = as_text(component.get("text"))
        if kind == "BODY":
            body = text or ""
        elif kind == "FOOTER":
            footer = text
        elif kind == "HEADER":
            header = _header(component)
            unfillable = unfillable or (None if header else f"header {_word(component.get('format'))}")
        elif kind == "BUTTONS":
            defined = objects(component.get("buttons"))
            buttons += map(_button, defined)
            needy = (_word(button.get("type")) for button in defined if _kind(button) in _NEEDY)
            unfillable = unfillable or next((f"button {word}" for word in needy), None)
        elif kind not in _HARMLESS:
            unfillable = unfillable or _word(kind)
    return Template(
        external_id,
        name,
        language,
        status_of(item.get("status")),
        (as_text(item.get("category"), SHORT) or "").lower(),
        "named" if _word(item.get("parameter_format")) == "named" else "positional",
        body,
        header,
        footer,
        tuple(buttons),
        quality=quality_of(as_object(item.get("quality_score")).get("score")),
        reason=reason_of(item.get("rejected_reason")),
        unfillable=unfillable,
    )


def status_of(value: JsonValue) -> TemplateStatus:
    return STATUSES.get((as_text(value, SHORT) or "").upper(), "other")


def quality_of(value: JsonValue) -> str | None:
    """``green``, ``yellow``, ``red``, ``unknown``; another word of Meta's in lower case."""
    told = as_text(value, SHORT)
    return told.lower() if told else None


def reason_of(value: JsonValue) -> str | None:
    """Meta's reason as words: ``INVALID_FORMAT`` becomes “Invalid format.”; its ``NONE`` is none."""
    told = as_text(value, LONG)
    if told is None or told.upper() == "NONE":
        return None
    if told.isupper():
        return f"{told.replace('_', ' ').capitalize()}."
    return told


def _header(component: JsonObject) -> TemplateHeader | None:
    kind = _HEADERS.get((as_text(component.get("format"), SHORT) or "TEXT").upper())
    if kind is None:
        return None
    return TemplateHeader(kind, as_text(component.get("text")) if kind == "text" else None)


def _kind(button: JsonObject) -> str:
    return (as_text(button.get("type"), SHORT) or "").upper()


def _button(button: JsonObject) -> TemplateButton:
    kind = _kind(button)
    link = as_link(button.get("url")) or ("{{1}}" if kind == "OTP" else None)
    return TemplateButton(
        _BUTTONS.get(kind, "other"),
        as_text(button.get("text"), SHORT) or _word(kind),
        url=link,
        phone=as_text(button.get("phone_number"), SHORT),
    )


def _word(value: JsonValue) -> str:
    return (as_text(value, SHORT) or "untyped").lower().replace("_", " ")
